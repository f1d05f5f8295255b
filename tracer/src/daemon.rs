//! The daemon: assembles sources, core and sinks, lets them run until it is told to stop, and lets what is under way
//! come out. The event loop and HTTP have threads of their own; here the end is waited for.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::fs::MetadataExt as _,
    sync::Arc,
};

use anyhow::{Context, Result};
use aya::Ebpf;
use log::info;
use tokio::{runtime::Runtime, sync::mpsc};
use tracer_core::{Engine, decode::KernelFacts, model::OwnServer};

use crate::{
    clock,
    config::DaemonOptions,
    event_loop::{EventLoop, Running},
    http::{self, Scrapes, Server, Service, Web},
    kernel::Tracer,
    last_turn::LastTurn,
    log::Log,
    pipeline::Pipeline,
    privileges,
    sinks::{
        metrics::{HostMetrics, HostSources, OwnProcess},
        recording::NewRecording,
    },
    sources::recording::Header,
    writer::WhenFull,
};

/// Queries that may wait; one more is refused.
const MAX_QUERIES: usize = 16;

/// What runs.
pub(crate) struct Daemon {
    programs: Ebpf,
    events: Running,
    server: Server,
}

impl Daemon {
    /// Traces this host, and serves what it finds on `listener`.
    pub(crate) fn start(mut options: DaemonOptions, listener: TcpListener, log: &Log) -> Result<Self> {
        let address = listener.local_addr().context("cannot tell which port is open")?;
        options.engine.own_server = own_server(address);
        let web = Arc::new(Web::open(options.web.config.as_deref())?);
        let Tracer { programs, ring, counters, diagnostics, reasons, report, loaded, requests } =
            Tracer::start(&options.load)?;
        let started = clock::now();
        let facts = KernelFacts { jiffy: clock::jiffy(), reasons, watched_since: started };
        let header = Header::of_this_machine(kernel_release(), &facts, options.load.request_lines);
        let recording = options.sinks.record.as_ref();
        let recording =
            recording.map(|(path, limit)| NewRecording::create(path, *limit, &header)).transpose()?;
        let process = OwnProcess::open();
        // Threads inherit what is left: none was started before.
        privileges::give_up(&options.privileges, &web.directories())?;
        log.write().context(NO_THREAD)?;
        let (requests, marks) = requests.unzip();
        let (mut pipeline, exposition) = Pipeline::start(
            Engine::new(facts, options.engine),
            &options.sinks,
            WhenFull::Drop,
            clock::wall_clock(),
        )
        .context(NO_THREAD)?;
        pipeline.marks = marks;
        pipeline.recorder = recording.map(NewRecording::start).transpose().context(NO_THREAD)?;
        let (queries, asked) = mpsc::channel(MAX_QUERIES);
        let sources = HostSources { counters, loaded, requests, process, queries: queries.clone() };
        let host = HostMetrics::new(&pipeline.metrics, exposition, sources, &report, kernel_release())?;
        let last_turn = LastTurn::new(started);
        let turning = last_turn.clone();
        let events = EventLoop { ring, pipeline, queries: asked, diagnostics, last_turn: turning }.start()?;
        let (scheme, names) = (web.scheme(), options.web.hosts);
        web.warn_if_open(address);
        let service = || Service { web, names, scrapes: Scrapes::start(host), report, queries, last_turn };
        let server = http::start(listener, service)?;
        info!("tracing TCP resets, {scheme}://{address}/");
        Ok(Self { programs, events, server })
    }

    /// Runs until `shutdown` ends, or the event loop fails.
    pub(crate) fn run(mut self, runtime: &Runtime, shutdown: impl Future<Output = ()>) -> Result<()> {
        let ended = runtime.block_on(async {
            tokio::select! {
                ended = self.events.ended() => return ended,
                () = shutdown => {}
            }
            // Detach first: what is in the ring then is all there will be.
            drop(self.programs);
            self.events.stop().await
        });
        self.server.stop();
        ended
    }
}

const NO_THREAD: &str = "cannot start a thread";

/// What is left out of the metrics; nothing where the namespace cannot be told.
fn own_server(listens: SocketAddr) -> Option<OwnServer> {
    let namespace = fs::metadata("/proc/self/ns/net").ok()?;
    Some(OwnServer { netns: namespace.ino().try_into().ok()?, listens })
}

fn kernel_release() -> String {
    nix::sys::utsname::uname()
        .map_or_else(|_| String::from("unknown"), |name| name.release().to_string_lossy().into_owned())
}
