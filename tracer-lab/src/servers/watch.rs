//! What the tracer's gauges say of a server, and since when.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::testbed::daemon::DaemonUnderTest;
use crate::testbed::wait::let_pass;

/// From one poll of the metrics to the next.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How long closes wait to be judged: the tracer reads them once a second, and judges them once a second.
pub(crate) const JUDGED_WITHIN: Duration = Duration::from_secs(3);

/// What is seen of one server.
pub(crate) struct Watch {
    server: SocketAddr,
    seen: Mutex<Seen>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Closes that clients saw.
    closes: usize,
    /// What the gauges say at the server's end, and at the client's.
    gauges: [Option<f64>; 2],
    /// When both ends first showed a timeout, and how many closes there had been.
    shown: Option<(Instant, usize)>,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inferred {
    /// In seconds, with our role server and client.
    pub(crate) gauges: [Option<f64>; 2],
    /// Closes, and the time, until both were there.
    pub(crate) needed: Option<(usize, Duration)>,
}

impl Watch {
    pub(crate) fn new(server: SocketAddr) -> Self {
        Self { server, seen: Mutex::default() }
    }

    /// A client saw the server close.
    pub(crate) fn client_saw_close(&self) {
        self.with(|seen| seen.closes += 1);
    }

    fn poll(&self, metrics: &str) {
        let gauges = ["server", "client"].map(|role| timeout(metrics, role, self.server));
        self.with(|seen| {
            seen.gauges = gauges;
            if seen.shown.is_none() && gauges.iter().all(Option::is_some) {
                seen.shown = Some((Instant::now(), seen.closes));
            }
        });
    }

    /// What came of it since `began`.
    pub(crate) fn finish(self, began: Instant) -> Inferred {
        let seen = self.seen.into_inner().unwrap_or_else(PoisonError::into_inner);
        Inferred { gauges: seen.gauges, needed: seen.shown.map(|(at, closes)| (closes, at - began)) }
    }

    fn with(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Polls the tracer's gauges until no server is `open` any more, and what they closed last is judged.
pub(crate) fn until_judged(tracer: &DaemonUnderTest, watches: &[Watch], open: &AtomicUsize) -> Result<()> {
    let mut closed = None;
    while closed.is_none_or(|closed: Instant| closed.elapsed() < JUDGED_WITHIN) {
        let metrics = tracer.metrics()?;
        for watch in watches {
            watch.poll(&metrics);
        }
        if closed.is_none() && open.load(Ordering::Relaxed) == 0 {
            closed = Some(Instant::now());
        }
        let_pass(POLL_INTERVAL);
    }
    Ok(())
}

/// The timeout that the metrics show for a server, in seconds.
pub(crate) fn timeout(metrics: &str, role: &str, server: SocketAddr) -> Option<f64> {
    let series = format!(r#"tracer_keepalive_timeout_seconds{{role="{role}",server="{server}"}} "#);
    metrics.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok())
}
