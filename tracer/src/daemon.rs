//! The daemon: assembles sources, core and sinks, feeds them until it is told to stop, and lets what is under way come
//! out.

use std::{pin::pin, time::Duration};

use anyhow::{Context, Result};
use aya_log::EbpfLogger;
use log::info;
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc},
    time::sleep,
};
use tracer_core::{Engine, decode::KernelFacts, model::KernelNs};

use crate::{
    clock,
    config::DaemonOptions,
    http::{self, Service},
    kernel::Tracer,
    lines::WhenFull,
    log::Log,
    pipeline::Pipeline,
    privileges,
    query::Query,
    sinks::{
        metrics::{HostMetrics, HostSources, OwnProcess},
        recording::Recorder,
    },
    sources::{recording::Header, ring::Ring},
};

/// Records taken from the ring before what came of them is shown.
const BATCH: usize = 1024;

/// Batches taken before queries and signals get their turn, in a storm that never lets up.
const MAX_BATCHES: usize = 64;

/// Records that can wait are read at least this often.
const TICK: Duration = Duration::from_secs(1);

/// After something was found the ring is looked at again this soon: meanwhile the kernel side wakes nobody.
const FOLLOW_UP: Duration = Duration::from_millis(100);

/// Queries that may wait; one more is refused.
const MAX_QUERIES: usize = 16;

/// Traces this host, and serves what it finds on `listener`, until `shutdown` ends.
pub(crate) async fn run(
    options: DaemonOptions,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
    log: &Log,
) -> Result<()> {
    let address = listener.local_addr().context("cannot tell which port is open")?;
    let Tracer { programs, ring, counters, diagnostics, reasons, report, loaded, requests } =
        Tracer::start(&options.load)?;
    let started = clock::now();
    let facts = KernelFacts { jiffy: clock::jiffy(), reasons, watched_since: started };
    let header = Header::of_this_machine(kernel_release(), &facts);
    let recorder = options.sinks.record.as_ref();
    let recorder = recorder.map(|(path, limit)| Recorder::create(path, *limit, &header)).transpose()?;
    let process = OwnProcess::open();
    // Threads inherit what is left: none was started before.
    privileges::give_up(&options.privileges)?;
    log.write().context("cannot start a thread")?;
    let (requests, marks) = requests.unzip();
    let (mut pipeline, exposition) = Pipeline::start(
        Engine::new(facts, options.engine),
        &options.sinks,
        WhenFull::Drop,
        clock::wall_clock(),
    )
    .context("cannot start a thread")?;
    (pipeline.marks, pipeline.recorder) = (marks, recorder);
    let (queries, asked) = mpsc::channel(MAX_QUERIES);
    let sources = HostSources { counters, loaded, requests, process, queries: queries.clone() };
    let host = HostMetrics::new(&pipeline.metrics, exposition, sources, &report, kernel_release())?;
    let service = Service { metrics: Mutex::new(host), report, queries };
    http::start(listener.into_std()?, service)?;
    info!("tracing TCP resets, http://{address}/");

    let mut daemon =
        Daemon { ring: Ring::open(ring)?, pipeline, queries: asked, diagnostics, found: started };
    daemon.feed_until(shutdown).await?;
    // Detach first: what is in the ring then is all there will be.
    drop(programs);
    daemon.finish();
    Ok(())
}

/// The task that owns the state, and what can wake it.
struct Daemon {
    ring: Ring,
    pipeline: Pipeline,
    queries: mpsc::Receiver<Query>,
    diagnostics: Option<EbpfLogger<&'static dyn log::Log>>,
    /// When there was last something in the ring.
    found: KernelNs,
}

impl Daemon {
    async fn feed_until(&mut self, shutdown: impl Future<Output = ()>) -> Result<()> {
        let mut shutdown = pin!(shutdown);
        loop {
            let now = clock::now();
            let rest = if now.since(self.found) <= FOLLOW_UP { FOLLOW_UP } else { TICK };
            let wait = self.pipeline.next_due().map_or(rest, |due| due.since(now).min(rest));
            tokio::select! {
                woken = self.ring.woken() => woken.context("the ring buffer broke")?,
                Some(query) = self.queries.recv() => self.pipeline.answer(query, clock::now()),
                () = sleep(wait) => {}
                () = &mut shutdown => return Ok(()),
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
        while self.drain() {}
        self.pipeline.finish();
        self.pipeline.stdout.finish();
    }
}

fn kernel_release() -> String {
    nix::sys::utsname::uname()
        .map_or_else(|_| String::from("unknown"), |name| name.release().to_string_lossy().into_owned())
}
