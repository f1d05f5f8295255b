//! Finds and explains TCP resets on Linux. [`run`] is the daemon.

#![deny(unsafe_code)]

pub mod cause;
pub mod classify;
pub mod config;
pub mod connections;
pub mod decode;
pub mod diagnostics;
pub mod event;
pub mod fin;
pub mod http;
pub mod keepalive;
pub mod kernel;
pub mod matched;
pub mod matcher;
pub mod mechanism;
pub mod metrics;
pub mod output;
mod page;
pub mod pipeline;
pub mod recent;
pub mod recording;
pub mod replay;
pub mod request;
pub mod request_line;
pub mod reset;
pub mod time;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use aya_log::EbpfLogger;
use log::{LevelFilter, Log, info};
use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::sleep,
};

use crate::{
    classify::Rules,
    config::{Command, Config},
    http::Service,
    keepalive::Fingerprints,
    kernel::{
        LoadOptions, Tracer, preflight,
        requests::{LateMarks, RequestCounters},
        ring::Ring,
    },
    matcher::Matcher,
    metrics::Metrics,
    output::{Output, WhenFull},
    pipeline::Pipeline,
    recent::Recent,
    recording::{Header, Recorder},
    time::{KernelNs, WallClock},
};

/// Records taken from the ring before what came of them is shown.
const BATCH: usize = 1024;

/// Batches taken before queries and signals get their turn, in a storm that never lets up.
const MAX_BATCHES: usize = 64;

/// Records that can wait are read at least this often.
const TICK: Duration = Duration::from_secs(1);

/// After something was found the ring is looked at again this soon: meanwhile the kernel side wakes nobody.
const FOLLOW_UP: Duration = Duration::from_millis(100);

/// Does what the command line says: traces until SIGINT or SIGTERM, or replays a recording.
pub fn run(config: Config) -> Result<()> {
    if let Some(Command::Replay(replay)) = &config.command {
        return replay::run(replay);
    }
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .on_thread_start(|| {
            // Capabilities belong to threads: the worker never needs any but those for the counters.
            if let Err(error) = preflight::drop_privileges() {
                log::warn!("{error:#}");
            }
        })
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(trace(config))
}

async fn trace(config: Config) -> Result<()> {
    let mut stop = Stop::new()?;
    let address = SocketAddr::new(config.listen_address, config.port);
    let listener = http::bind(address)?;
    let address = listener.local_addr().unwrap_or(address);

    let options = LoadOptions {
        ring_bytes: config.event_buffer,
        diagnostics: config.log_level >= LevelFilter::Debug,
        server_ports: config.server_ports.clone(),
        requests: config.requests.then_some(config.max_series),
        request_lines: config.http,
    };
    let Tracer { programs, ring, counters, mut diagnostics, reasons, report, loaded, requests } =
        Tracer::start(&options)?;
    let metrics = Arc::new(Metrics::new(config.max_series as usize)?);
    metrics.describe(&report, &kernel_release())?;
    let started = KernelNs::now();
    let rules = Rules { race_window: config.race_window, jiffy: time::jiffy(), reasons };
    let recorder = recorder(&config, started, &rules)?;
    // Before any other thread is started: capabilities belong to threads.
    preflight::drop_privileges()?;
    let (counted, marks) = requests.map(|(counters, marks)| (Arc::new(counters), marks)).unzip();
    let requests = counted.clone().zip(marks);
    let mut pipeline = pipeline(&config, started, rules, recorder, requests, &metrics)?;

    let (queries, mut asked) = mpsc::channel(16);
    let service =
        Service { metrics: Arc::clone(&metrics), requests: counted, counters, report, loaded, queries };
    let server = tokio::spawn(http::serve(listener, Arc::new(service)));
    info!("tracing TCP resets, http://{address}/");

    let mut ring = Ring::open(ring)?;
    let mut found = started;
    loop {
        let now = KernelNs::now();
        let rest = if now.since(found) <= FOLLOW_UP { FOLLOW_UP } else { TICK };
        let wait = pipeline.next_due().map_or(rest, |due| due.since(now).min(rest));
        tokio::select! {
            woken = ring.woken() => woken.context("the ring buffer broke")?,
            Some(query) = asked.recv() => pipeline.answer(query),
            () = sleep(wait) => {}
            () = stop.asked() => break,
        }
        if drain(&mut ring, &mut pipeline) {
            found = KernelNs::now();
        }
        diagnostics.as_mut().map(EbpfLogger::<&dyn Log>::flush);
    }

    // Detach first: what is in the ring then is all there will be.
    drop(programs);
    while drain(&mut ring, &mut pipeline) {}
    pipeline.finish();
    server.abort();
    Ok(())
}

fn recorder(config: &Config, started: KernelNs, rules: &Rules) -> Result<Option<Recorder>> {
    let Some(path) = &config.record else { return Ok(None) };
    let header = Header::of_this_machine(kernel_release(), rules.jiffy, started, &rules.reasons);
    Recorder::create(path, &header).map(Some)
}

/// Everything between the ring and the users, as the command line wants it.
fn pipeline<'a>(
    config: &Config,
    started: KernelNs,
    rules: Rules,
    recorder: Option<Recorder>,
    requests: Option<(Arc<RequestCounters>, LateMarks)>,
    metrics: &'a Metrics,
) -> Result<Pipeline<'a>> {
    let when_full = WhenFull::Drop(metrics.lines_lost.clone());
    Ok(Pipeline {
        matcher: Matcher::new(started, config.max_connections as usize),
        rules,
        metrics,
        output: Output::start(config.events, when_full).context("cannot start a thread")?,
        recent: Recent::new(config.recent as usize),
        requests,
        fingerprints: Fingerprints::new(config.max_series as usize),
        recorder,
        server_ports: config.server_ports.clone(),
        clock: WallClock::now(),
    })
}

/// Takes what there is; true when there was something.
fn drain(ring: &mut Ring, pipeline: &mut Pipeline) -> bool {
    let mut some = false;
    for _ in 0..MAX_BATCHES {
        let taken = ring.drain(BATCH, |bytes| {
            // What cannot be read is counted in there.
            let _ = pipeline.record(bytes);
        });
        some |= taken > 0;
        if taken < BATCH {
            // Only an empty ring proves that nothing older than now is still to come.
            pipeline.advance(KernelNs::now());
            break;
        }
        pipeline.publish();
    }
    // A storm that never lets up must not stop the advice.
    pipeline.review(KernelNs::now());
    some
}

/// The signals that end the daemon.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("cannot wait for signals");
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

fn kernel_release() -> String {
    nix::sys::utsname::uname()
        .map_or_else(|_| String::from("unknown"), |name| name.release().to_string_lossy().into_owned())
}
