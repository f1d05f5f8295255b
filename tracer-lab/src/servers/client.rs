//! Clients that keep their connection until the server closes it: which measure its timeout.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::servers::setting::{Load, PACE, Setting};
use crate::testbed::wait::let_pass;
use crate::traffic::session::Session;

/// No server takes longer than that beyond its timeout.
const PATIENCE: Duration = Duration::from_secs(20);

/// The clients of one server. They are on the host of the calling thread.
pub(crate) struct Clients {
    server: SocketAddr,
    patience: Duration,
    load: Load,
}

impl Clients {
    pub(crate) fn of(setting: &Setting, server: SocketAddr) -> Self {
        Self { server, patience: setting.timeout + PATIENCE, load: setting.load }
    }

    /// Clients that come one after the other and would wait for `timeout`.
    pub(crate) fn spread(server: SocketAddr, timeout: Duration) -> Self {
        Self { server, patience: timeout + PATIENCE, load: Load::Spread }
    }

    /// Opens `count` connections and waits until all are closed, telling `see` of each, and returns how long
    /// they idled.
    pub(crate) fn make(&self, count: usize, see: impl Fn() + Sync) -> Result<Vec<Duration>> {
        let client = || keep_until_closed(self.server, self.patience).inspect(|_| see());
        match self.load {
            Load::OneByOne => (0..count).map(|_| client()).collect(),
            Load::Spread => spread(count, &client),
            Load::Busy(rate) => {
                let over = AtomicBool::new(false);
                thread::scope(|scope| {
                    scope.spawn(|| self.keep_busy(rate, &over));
                    let closes = spread(count, &client);
                    over.store(true, Ordering::Relaxed);
                    closes
                })
            }
        }
    }

    /// Sends `rate` requests a second on connections that are not kept, until it is `over`.
    fn keep_busy(&self, rate: u32, over: &AtomicBool) {
        while !over.load(Ordering::Relaxed) {
            // They may fail: nothing depends on them.
            let _ = ask_once(self.server);
            let_pass(Duration::from_secs(2).mul_f64(fastrand::f64()) / rate);
        }
    }
}

/// Makes `count` clients that begin at a [`PACE`].
fn spread(count: usize, client: &(impl Fn() -> Result<Duration> + Sync)) -> Result<Vec<Duration>> {
    thread::scope(|scope| {
        let begin = |_| {
            let client = scope.spawn(client);
            let_pass(Duration::from_millis(fastrand::u64(PACE)));
            client
        };
        let clients: Vec<_> = (0..count).map(begin).collect();
        clients.into_iter().map(join).collect()
    })
}

/// What a client's thread came to.
pub(crate) fn join<T>(client: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    client.join().map_err(|_| anyhow!("a client panicked"))?
}

/// Sends a request and does nothing more until the server closes; returns how long it idled till then.
fn keep_until_closed(server: SocketAddr, patience: Duration) -> Result<Duration> {
    let mut session = Session::open(server).with_context(|| format!("{server} does not accept"))?;
    session.wait_for(patience)?;
    let kept = session
        .ask("GET / HTTP/1.1\r\nHost: lab", b"")
        .with_context(|| format!("{server} does not answer"))?;
    ensure!(kept, "{server} does not keep connections");
    let answered = Instant::now();
    session.until_closed().with_context(|| format!("{server} does not close"))?;
    Ok(answered.elapsed())
}

/// A request on a connection that is not kept.
fn ask_once(server: SocketAddr) -> Result<()> {
    Session::open(server)?.ask("GET / HTTP/1.1\r\nHost: lab\r\nConnection: close", b"")?;
    Ok(())
}
