//! The daemon: assembles sources, core and sinks, lets them run until it is told to stop, and lets what is under way come
//! out. The event loop has its own thread; here HTTP and signals are waited for.

use std::sync::Arc;

use anyhow::{Context, Result};
use log::info;
use tokio::{net::TcpListener, sync::mpsc};
use tracer_core::{Engine, decode::KernelFacts};

use crate::{
    clock,
    config::DaemonOptions,
    event_loop::EventLoop,
    http::{self, Scrapes, Service},
    kernel::{Tracer, preflight},
    last_turn::LastTurn,
    pipeline::Pipeline,
    sinks::{
        metrics::{HostMetrics, HostSources},
        recording::Recorder,
    },
    sources::recording::Header,
    writer::WhenFull,
};

/// Queries that may wait; one more is refused.
const MAX_QUERIES: usize = 16;

/// Traces this host, and serves what it finds on `listener`, until `shutdown` ends.
pub(crate) async fn run(
    options: DaemonOptions,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    let address = listener.local_addr().context("cannot tell which port is open")?;
    let Tracer { programs, ring, counters, diagnostics, reasons, report, loaded, requests } =
        Tracer::start(&options.load)?;
    let started = clock::now();
    let facts = KernelFacts { jiffy: clock::jiffy(), reasons, watched_since: started };
    let header = Header::of_this_machine(kernel_release(), &facts);
    let recorder = options.sinks.record.as_ref();
    let recorder = recorder.map(|(path, limit)| Recorder::create(path, *limit, &header)).transpose()?;
    // Before any other thread is started: capabilities belong to threads.
    preflight::drop_privileges()?;
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
    let sources = HostSources { counters, loaded, requests, queries: queries.clone() };
    let host = HostMetrics::new(&pipeline.metrics, exposition, sources, &report, kernel_release())?;
    let last_turn = LastTurn::new(started);
    let service = Service { scrapes: Scrapes::start(host), report, queries, last_turn: last_turn.clone() };
    let mut events = EventLoop { ring, pipeline, queries: asked, diagnostics, last_turn }.start()?;
    let server = tokio::spawn(http::serve(listener, Arc::new(service)));
    info!("tracing TCP resets, http://{address}/");

    tokio::select! {
        ended = events.ended() => return ended,
        () = shutdown => {}
    }
    // Detach first: what is in the ring then is all there will be.
    drop(programs);
    let ended = events.stop().await;
    server.abort();
    ended
}

fn kernel_release() -> String {
    nix::sys::utsname::uname()
        .map_or_else(|_| String::from("unknown"), |name| name.release().to_string_lossy().into_owned())
}
