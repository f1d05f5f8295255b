//! RSTs as fast as the machine can make them: SYNs to a closed port, and abortive closes.

use std::io::{ErrorKind, Read as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use socket2::SockRef;

use crate::bench::testbed::PORT;
use crate::testbed::host::Host;

/// Nobody listens here.
const CLOSED: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), PORT);
/// Threads of each kind.
const CROWD: usize = 2;

/// A host to make a storm on.
pub(crate) struct Storm(Host);

/// What a storm was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made {
    /// Connections refused: one RST sent and received each.
    pub(crate) refused: u64,
    /// Connections closed abortively: likewise, and an abrupt close.
    pub(crate) aborted: u64,
    /// RST segments sent, as the kernel counts them.
    pub(crate) out_rsts: u64,
    /// How long it took.
    pub(crate) took: Duration,
}

impl Made {
    /// RST segments, each of which is received too.
    pub(crate) fn rsts(&self) -> u64 {
        self.refused + self.aborted
    }
}

impl Storm {
    /// Makes the host.
    pub(crate) fn prepare() -> Result<Self> {
        let host = Host::with_loopback("storm")?;
        Ok(Self(host))
    }

    /// Storms for `time`. On return all segments were sent and received.
    pub(crate) fn rage(&self, time: Duration) -> Result<Made> {
        let before = self.0.tcp_counter("OutRsts")?;
        let began = Instant::now();
        let until = began + time;
        let (refused, aborted) = self.0.enter(|| {
            thread::scope(|scope| {
                let crowd = |work: fn(Instant) -> Result<u64>| -> Vec<_> {
                    (0..CROWD).map(|_| scope.spawn(move || work(until))).collect()
                };
                let (refused, aborted) = (crowd(refused), crowd(aborted));
                let sum = |crowd: Vec<thread::ScopedJoinHandle<'_, Result<u64>>>| {
                    crowd.into_iter().try_fold(0, |sum, one| {
                        Ok::<_, anyhow::Error>(sum + one.join().map_err(|_| anyhow!("a client panicked"))??)
                    })
                };
                Ok((sum(refused)?, sum(aborted)?))
            })
        })?;
        let took = began.elapsed();
        let out_rsts = self.0.tcp_counter("OutRsts")? - before;
        ensure!(
            out_rsts == refused + aborted,
            "the kernel sent {out_rsts} RSTs for {refused} refused and {aborted} aborted connections"
        );
        Ok(Made { refused, aborted, out_rsts, took })
    }
}

/// Connects in vain, and says how often.
fn refused(until: Instant) -> Result<u64> {
    let mut count = 0;
    while Instant::now() < until {
        match TcpStream::connect(CLOSED) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => count += 1,
            Err(error) => return Err(error).context("a connection was to be refused"),
            Ok(_) => bail!("somebody listens on port {PORT}"),
        }
    }
    Ok(count)
}

/// Connects and closes with a RST, and says how often.
fn aborted(until: Instant) -> Result<u64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let mut count = 0;
    while Instant::now() < until {
        let client = TcpStream::connect(address)?;
        let (mut server, _) = listener.accept()?;
        SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
        drop(client);
        let end = server.read(&mut [0]).map_err(|error| error.kind());
        ensure!(end == Err(ErrorKind::ConnectionReset), "an abortive close came as {end:?}");
        count += 1;
    }
    Ok(count)
}
