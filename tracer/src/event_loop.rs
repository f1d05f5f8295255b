//! The event loop: a thread that reads the ring and owns the state, with a runtime of its own. What others do, HTTP
//! above all, neither takes its turn nor its wake-ups.

use std::{
    pin::pin,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use aya::maps::{MapData, RingBuf};
use aya_log::EbpfLogger;
use log::{Log, info};
use tokio::{
    runtime,
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};
use tracer_core::model::KernelNs;

use crate::{
    clock, descriptors::explain, last_turn::LastTurn, pipeline::Pipeline, query::Query, sources::ring::Ring,
};

/// Records taken from the ring before what came of them is shown.
const BATCH: usize = 1024;

/// Batches taken before queries and the end get their turn, in a storm that never lets up.
const MAX_BATCHES: usize = 64;

/// Records that can wait are read at least this often.
const TICK: Duration = Duration::from_secs(1);

/// After something was found the ring is looked at again this soon: meanwhile the kernel side wakes nobody.
const FOLLOW_UP: Duration = Duration::from_millis(100);

/// How long the last records get to be read, and what came of them to be written, at the end.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the loop gets for its end, until the daemon ends without it.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(1400);

/// What the event loop works on.
pub(crate) struct EventLoop {
    pub(crate) ring: RingBuf<MapData>,
    pub(crate) pipeline: Pipeline,
    pub(crate) queries: mpsc::Receiver<Query>,
    pub(crate) diagnostics: Option<EbpfLogger<&'static dyn Log>>,
    pub(crate) last_turn: LastTurn,
}

impl EventLoop {
    /// Starts its thread.
    pub(crate) fn start(self) -> Result<Running> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| explain(error, String::from("cannot start the event loop's runtime")))?;
        let (stop, stopped) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let run = move || drop(end.send(runtime.block_on(self.run(stopped))));
        thread::Builder::new().name(String::from("events")).spawn(run).context("cannot start a thread")?;
        Ok(Running { stop: Some(stop), ended })
    }

    async fn run(self, stopped: oneshot::Receiver<()>) -> Result<()> {
        let Self { ring, pipeline, queries, diagnostics, last_turn } = self;
        let ring = Ring::open(ring)?;
        let mut turning = Turning { ring, pipeline, queries, diagnostics, last_turn, found: clock::now() };
        turning.until(stopped).await?;
        turning.finish();
        Ok(())
    }
}

/// The loop on its thread, from outside.
pub(crate) struct Running {
    /// Dropped to stop it.
    stop: Option<oneshot::Sender<()>>,
    ended: oneshot::Receiver<Result<()>>,
}

impl Running {
    /// Waits until it ends, which it does of itself only when it fails.
    pub(crate) async fn ended(&mut self) -> Result<()> {
        (&mut self.ended).await.unwrap_or_else(|_| bail!("the event loop panicked"))
    }

    /// Lets it come to its end, but does not wait for ever for one that stands still.
    pub(crate) async fn stop(mut self) -> Result<()> {
        drop(self.stop.take());
        let ended = timeout(SHUTDOWN_TIMEOUT, self.ended()).await;
        ended.unwrap_or_else(|_| bail!("the event loop stands still: what it had not shown yet is lost"))
    }
}

/// The task that owns the state, and what can wake it.
struct Turning {
    ring: Ring,
    pipeline: Pipeline,
    queries: mpsc::Receiver<Query>,
    diagnostics: Option<EbpfLogger<&'static dyn Log>>,
    last_turn: LastTurn,
    /// When there was last something in the ring.
    found: KernelNs,
}

impl Turning {
    async fn until(&mut self, stopped: oneshot::Receiver<()>) -> Result<()> {
        let mut stopped = pin!(stopped);
        loop {
            let now = clock::now();
            self.last_turn.is(now);
            let rest = if now.since(self.found) <= FOLLOW_UP { FOLLOW_UP } else { TICK };
            let wait = self.pipeline.next_due().map_or(rest, |due| due.since(now).min(rest));
            tokio::select! {
                woken = self.ring.woken() => woken.context("the ring buffer broke")?,
                Some(query) = self.queries.recv() => self.pipeline.answer(query, clock::now()),
                () = sleep(wait) => {}
                _ = &mut stopped => return Ok(()),
            }
            if self.drain() {
                self.found = clock::now();
            }
            self.diagnostics.iter_mut().for_each(EbpfLogger::flush);
        }
    }

    /// Takes what is in the ring; true when there was something.
    fn drain(&mut self) -> bool {
        let mut some = false;
        // Taken anew each time, so that a clock that was set is followed.
        self.pipeline.clock = clock::wall_clock();
        for _ in 0..MAX_BATCHES {
            let taken = self.ring.drain(BATCH, |bytes| {
                // What cannot be read is counted in there.
                let _ = self.pipeline.record(bytes);
            });
            some |= taken > 0;
            if taken < BATCH {
                // Only an empty ring proves that nothing older than now is still to come.
                self.pipeline.advance(clock::now());
                break;
            }
            self.pipeline.publish();
        }
        // A storm that never lets up must not stop the advice.
        for sentence in self.pipeline.review(clock::now()).into_iter().flat_map(|review| review.announced) {
            info!("{sentence}");
        }
        some
    }

    fn finish(mut self) {
        let deadline = Instant::now() + FINISH_TIMEOUT;
        while self.drain() && Instant::now() < deadline {}
        self.pipeline.finish();
        self.pipeline.close(deadline);
    }
}
