//! Finds and explains TCP resets on Linux. [`run`] is the daemon.

#![forbid(unsafe_code)]

pub mod clock;
pub mod commands;
pub mod config;
pub mod http;
pub mod kernel;
pub mod log;
pub mod pipeline;
pub mod sinks;
pub mod sources;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ::log::{LevelFilter, Log, info};
use anyhow::{Context, Result};
use aya_log::EbpfLogger;
use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::sleep,
};
use tracer_core::{Engine, EngineOptions, classify::RacePolicy, decode::KernelFacts, model::ServerPorts};

use crate::{
    config::{Command, Config},
    http::Service,
    kernel::{
        RequestsWanted, Tracer, Wanted, preflight,
        requests::{LateMarks, RequestCounters},
    },
    pipeline::Pipeline,
    sinks::{
        metrics::Metrics,
        recent::Recent,
        stdout::{Output, WhenFull},
    },
    sources::{
        recording::{Header, Recorder},
        ring::Ring,
    },
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
        return commands::replay::run(replay);
    }
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .on_thread_start(|| {
            // Capabilities belong to threads: the worker never needs any but those for the counters.
            if let Err(error) = preflight::drop_privileges() {
                ::log::warn!("{error:#}");
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

    let wanted = Wanted {
        ring_bytes: config.event_buffer,
        diagnostics: config.log_level >= LevelFilter::Debug,
        requests: config
            .requests
            .then(|| RequestsWanted { servers: config.max_series, ports: config.server_ports.clone() }),
        request_lines: config.http,
    };
    let Tracer { programs, ring, counters, mut diagnostics, reasons, report, loaded, requests } =
        Tracer::start(&wanted)?;
    let metrics = Arc::new(Metrics::new(config.max_series as usize)?);
    metrics.describe(&report, &kernel_release())?;
    let started = clock::now();
    let facts = KernelFacts { jiffy: clock::jiffy(), reasons, watched_since: started };
    let recorder = recorder(&config, &facts)?;
    // Before any other thread is started: capabilities belong to threads.
    preflight::drop_privileges()?;
    let (counted, marks) = requests.map(|(counters, marks)| (Arc::new(counters), marks)).unzip();
    let requests = counted.clone().zip(marks);
    let mut pipeline = pipeline(&config, facts, recorder, requests, &metrics)?;

    let (queries, mut asked) = mpsc::channel(16);
    let service =
        Service { metrics: Arc::clone(&metrics), requests: counted, counters, report, loaded, queries };
    let server = tokio::spawn(http::serve(listener, Arc::new(service)));
    info!("tracing TCP resets, http://{address}/");

    let mut ring = Ring::open(ring)?;
    let mut found = started;
    loop {
        let now = clock::now();
        let rest = if now.since(found) <= FOLLOW_UP { FOLLOW_UP } else { TICK };
        let wait = pipeline.next_due().map_or(rest, |due| due.since(now).min(rest));
        tokio::select! {
            woken = ring.woken() => woken.context("the ring buffer broke")?,
            Some(query) = asked.recv() => pipeline.answer(query),
            () = sleep(wait) => {}
            () = stop.asked() => break,
        }
        if drain(&mut ring, &mut pipeline) {
            found = clock::now();
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

fn recorder(config: &Config, facts: &KernelFacts) -> Result<Option<Recorder>> {
    let Some(path) = &config.record else { return Ok(None) };
    let header = Header::of_this_machine(kernel_release(), facts);
    Recorder::create(path, &header).map(Some)
}

/// Everything between the ring and the users, as the command line wants it.
fn pipeline<'a>(
    config: &Config,
    facts: KernelFacts,
    recorder: Option<Recorder>,
    requests: Option<(Arc<RequestCounters>, LateMarks)>,
    metrics: &'a Metrics,
) -> Result<Pipeline<'a>> {
    let when_full = WhenFull::Drop(metrics.lines_lost.clone());
    let options = EngineOptions {
        race: RacePolicy { window: config.race_window },
        server_ports: ServerPorts::new(config.server_ports.clone()),
        max_closed_connections: config.max_connections as usize,
        max_servers: config.max_series as usize,
    };
    Ok(Pipeline {
        engine: Engine::new(facts, options),
        metrics,
        output: Output::start(config.events, when_full).context("cannot start a thread")?,
        recent: Recent::new(config.recent as usize),
        requests,
        recorder,
        clock: clock::wall_clock(),
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
            pipeline.advance(clock::now());
            break;
        }
        pipeline.publish();
    }
    // A storm that never lets up must not stop the advice.
    pipeline.review(clock::now());
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
