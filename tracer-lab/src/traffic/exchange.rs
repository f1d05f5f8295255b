//! Clients and a server whose exchanges are known in advance.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use fastrand::Rng;
use nix::errno::Errno;
use nix::fcntl::{SpliceFFlags, splice};

use crate::testbed::wait::let_pass;
use crate::traffic::ends::Ends;

/// Rests between two exchanges, each in another bucket of `tracer_reuse_idle_seconds`.
const RESTS: [Duration; 4] = [
    Duration::from_millis(20),
    Duration::from_millis(250),
    Duration::from_millis(700),
    Duration::from_millis(1200),
];

/// How an exchange is carried: always one request and one response.
#[derive(Clone, Copy)]
pub(crate) enum Manner {
    Plain,
    /// The server reads the request's halves one by one.
    RequestInHalves,
    /// The client reads the response's halves one by one.
    ResponseInHalves,
    /// Both look at what has come before they read it.
    Peeked,
    /// Afterwards the server tries `splice` before anything has come, as proxies do that never wait.
    SplicedInVain,
}

impl Ends {
    /// One request and one response, carried like this.
    pub(crate) fn exchange_as(&self, manner: Manner) -> Result<()> {
        let (client, server) = (&self.client, &self.server);
        if let Manner::RequestInHalves = manner {
            pass(client, server, manner)?;
        }
        pass(client, server, manner)?;
        pass(server, client, manner)?;
        if let Manner::ResponseInHalves = manner {
            pass(server, client, manner)?;
        }
        if let Manner::SplicedInVain = manner {
            splice_nothing(server)?;
        }
        Ok(())
    }
}

fn splice_nothing(from: &TcpStream) -> Result<()> {
    let (_reader, writer) = std::io::pipe()?;
    from.set_nonblocking(true)?;
    let spliced = splice(from, None, &writer, None, 8, SpliceFFlags::empty());
    from.set_nonblocking(false)?;
    ensure!(spliced == Err(Errno::EAGAIN), "nothing was to be spliced: {spliced:?}");
    Ok(())
}

fn pass(mut from: &TcpStream, mut to: &TcpStream, manner: Manner) -> Result<()> {
    from.write_all(b"12345678")?;
    if let Manner::Peeked = manner {
        to.peek(&mut [0; 8])?;
    }
    Ok(to.read_exact(&mut [0; 8])?)
}

/// The exchanges of one connection: how each is carried, and the rest before it.
pub(crate) type Plan = Vec<(Duration, Manner)>;

/// A plan of `exchanges` exchanges.
pub(crate) fn plan(random: &mut Rng, exchanges: usize) -> Plan {
    let manners = [
        Manner::Plain,
        Manner::RequestInHalves,
        Manner::ResponseInHalves,
        Manner::Peeked,
        Manner::SplicedInVain,
    ];
    (0..exchanges)
        .map(|_| (RESTS[random.usize(..RESTS.len())], manners[random.usize(..manners.len())]))
        .collect()
}

/// Runs all plans at once.
pub(crate) fn run(connections: &[Ends], plans: &[Plan]) -> Result<()> {
    at_once(connections.iter().zip(plans), |(ends, plan)| {
        plan.iter().try_for_each(|(rest, manner)| {
            let_pass(*rest);
            ends.exchange_as(*manner)
        })
    })
}

/// Does it for each of them on a thread of its own.
pub(crate) fn at_once<T: Send>(
    each: impl IntoIterator<Item = T>,
    act: impl Fn(T) -> Result<()> + Sync,
) -> Result<()> {
    thread::scope(|scope| {
        let act = &act;
        let threads: Vec<_> = each.into_iter().map(|one| scope.spawn(move || act(one))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?)
    })
}
