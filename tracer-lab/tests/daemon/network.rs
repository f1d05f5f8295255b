//! Resets in a network of the test's own.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use tracer_lab::testbed::host::Host;
use tracer_lab::testbed::lines::Lines;
use tracer_lab::testbed::reset::Reset;
use tracer_lab::testbed::wait::let_pass;
use tracer_lab::traffic::ends::Ends;

/// Threads that connect at once.
const CROWD: usize = 4;
/// Where the networks' ports are: no other test has its own here.
const PORTS: Range<u32> = 1000..15_000;
/// Networks of one process until their ports come again.
const NETWORKS: u32 = 32;
/// Servers until the third byte of their address counts on.
const SERVERS: u16 = 250;
/// Longer than any exchange pauses.
const IDLE: Duration = Duration::from_millis(100);

/// A host with nothing but a loopback.
pub(crate) struct Network {
    pub(crate) host: Host,
    /// How the kernel, and the daemon, name its namespace.
    pub(crate) inum: u64,
    /// Of all its servers, and of nobody else on this host: so that a daemon can be told to look at one network only.
    pub(crate) port: u16,
}

impl Network {
    pub(crate) fn new() -> Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = process::id() * NETWORKS + MADE.fetch_add(1, Ordering::Relaxed) % NETWORKS;
        let port = u16::try_from(PORTS.start + number % (PORTS.end - PORTS.start))?;
        let host = Host::with_loopback("loopback")?;
        Ok(Self { inum: host.inum(), host, port })
    }

    /// Runs `work` inside.
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        self.host.enter(work)
    }

    /// What a daemon has printed of connections to one of the network's servers.
    pub(crate) fn resets(&self, lines: &Lines, server: u16) -> Vec<Reset> {
        let mut resets = lines.about(&[self.inum]);
        resets.retain(|reset| reset.server == Some(self.server(server)));
        resets
    }

    /// One of the network's servers: each has an address of its own on the loopback. Nobody listens there.
    pub(crate) fn server(&self, index: u16) -> SocketAddr {
        let [_, third] = (index / SERVERS).to_be_bytes();
        let [_, fourth] = (index % SERVERS + 1).to_be_bytes();
        SocketAddr::new(Ipv4Addr::new(127, 0, third, fourth).into(), self.port)
    }

    /// Connects to each of these servers in vain. On return all RST segments were sent and received: one of each for
    /// every server.
    pub(crate) fn refuse(&self, servers: Range<u16>) -> Result<()> {
        self.enter(|| servers.map(|index| self.server(index)).try_for_each(refused))
    }

    /// Connects to the first server `times` times, in vain and as fast as it gets: one RST segment each.
    pub(crate) fn refuse_many(&self, times: usize) -> Result<()> {
        self.enter(|| {
            thread::scope(|scope| {
                let connect = || (0..times / CROWD).try_for_each(|_| refused(self.server(0)));
                let crowd: Vec<_> = (0..CROWD).map(|_| scope.spawn(connect)).collect();
                crowd.into_iter().try_for_each(|one| one.join().map_err(|_| anyhow!("a client panicked"))?)
            })
        })
    }

    /// A server closes a connection that was idle for a moment after an exchange.
    pub(crate) fn close_idle_connection(&self) -> Result<()> {
        self.enter(|| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let ends = Ends::local(&listener)?;
            ends.exchange()?;
            let_pass(IDLE);
            ends.server_closes().map(drop)
        })
    }
}

fn refused(server: SocketAddr) -> Result<()> {
    match TcpStream::connect(server) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error).context("a connection was to be refused"),
        Ok(_) => bail!("somebody listens at {server}"),
    }
}

/// A connection that carried a request and its response; the client's end comes first.
pub(crate) fn exchange(listener: &TcpListener) -> Result<(TcpStream, TcpStream)> {
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let (mut server, _) = listener.accept()?;
    client.write_all(b"?")?;
    server.read_exact(&mut [0])?;
    server.write_all(b"!")?;
    client.read_exact(&mut [0])?;
    Ok((client, server))
}
