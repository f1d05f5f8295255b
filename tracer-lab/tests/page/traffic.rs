//! A server that closes idle connections before its clients do, and the races that come of it.

use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use tracer_lab::testbed::wait::let_pass;
use tracer_lab::traffic::ends::Ends;

use crate::network::Network;

/// When the server closes an idle connection.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(400);
/// From one connection to the next: longer than what counts as one moment.
const PAUSE: Duration = Duration::from_millis(160);
/// Enough to infer a timeout, if they agree.
const CLOSES: usize = 10;
const ATTEMPTS: usize = 8;
/// How long closes wait to be judged: the daemon reads them once a second, and judges them once a second.
const JUDGED_WITHIN: Duration = Duration::from_secs(3);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The request that meets the server's close.
const REQUEST: &[u8] = b"POST /cart/<b>7</b>?with=a&secret HTTP/1.1\r\nHost: a\r\n\r\n";
/// What is shown of it.
pub(crate) const SHOWN: &str = "POST /cart/<b>7</b>";

/// A server in a network, and its clients.
pub(crate) struct Traffic<'network> {
    network: &'network Network,
    listener: TcpListener,
}

impl<'network> Traffic<'network> {
    /// Listens as the network's first server.
    pub(crate) fn on(network: &'network Network) -> Result<Self> {
        let listener = network.enter(|| Ok(TcpListener::bind(network.server(0))?))?;
        Ok(Self { network, listener })
    }

    /// `address:port` of the server.
    pub(crate) fn server(&self) -> Result<String> {
        Ok(self.listener.local_addr()?.to_string())
    }

    /// The server closes idle connections until it `is_known` when it does so: on a busy machine it is late now and
    /// then, and closes at ages that do not agree.
    pub(crate) fn closes_until(&self, is_known: impl Fn() -> Result<bool>) -> Result<()> {
        for _ in 0..ATTEMPTS {
            self.closes(CLOSES)?;
            let judged = Instant::now() + JUDGED_WITHIN;
            while Instant::now() < judged {
                if is_known()? {
                    return Ok(());
                }
                let_pass(POLL_INTERVAL);
            }
        }
        bail!("{} closes of idle connections show no timeout", ATTEMPTS * CLOSES)
    }

    /// The server closes `times` idle connections, one after the other.
    fn closes(&self, times: usize) -> Result<()> {
        let idle = |ends: Ends| {
            let_pass(TIMEOUT);
            ends.server_closes().map(drop)
        };
        self.network.enter(|| {
            thread::scope(|scope| {
                let mut open = Vec::new();
                for _ in 0..times {
                    let ends = self.exchange()?;
                    open.push(scope.spawn(move || idle(ends)));
                    let_pass(PAUSE);
                }
                open.into_iter().try_for_each(|one| one.join().map_err(|_| anyhow!("a client panicked"))?)
            })
        })
    }

    /// The server closes as the next request is there.
    pub(crate) fn race(&self) -> Result<()> {
        self.network.enter(|| {
            let ends = self.exchange()?;
            let_pass(TIMEOUT);
            ends.race_unread(REQUEST)
        })
    }

    /// A new connection with one request and its response behind it.
    fn exchange(&self) -> Result<Ends> {
        let ends = Ends::local(&self.listener)?;
        ends.exchange()?;
        Ok(ends)
    }
}
