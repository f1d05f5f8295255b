//! Finds and explains TCP resets on Linux. [`run`] is the daemon.

#![deny(unsafe_code)]

pub mod cause;
pub mod classify;
pub mod config;
pub mod connections;
pub mod decode;
pub mod event;
pub mod http;
pub mod kernel;
pub mod matched;
pub mod matcher;
pub mod metrics;
pub mod output;
pub mod pipeline;
pub mod recent;
pub mod reset;
pub mod time;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use aya_log::EbpfLogger;
use log::{LevelFilter, Log, info};
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::sleep,
};

use crate::{
    classify::Rules,
    config::Config,
    http::{Query, Service},
    kernel::{Tracer, preflight, ring::Ring},
    matcher::Matcher,
    metrics::Metrics,
    output::Output,
    pipeline::Pipeline,
    recent::Recent,
    time::KernelNs,
};

/// Records taken from the ring before timers, queries and signals get their turn.
const BATCH: usize = 1024;

/// Records that can wait are read at least this often.
const TICK: Duration = Duration::from_secs(1);

/// After something was found the ring is looked at again this soon: meanwhile the kernel side wakes nobody.
const FOLLOW_UP: Duration = Duration::from_millis(100);

/// Runs the daemon until SIGINT or SIGTERM.
pub fn run(config: Config) -> Result<()> {
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
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let address = SocketAddr::new(config.listen_address, config.port);
    let listener = http::bind(address)?;

    let with_diagnostics = config.log_level >= LevelFilter::Debug;
    let Tracer { programs, ring, counters, mut diagnostics, reasons, report } =
        Tracer::start(config.event_buffer, with_diagnostics)?;
    preflight::drop_privileges()?;

    let metrics = Arc::new(Metrics::new(config.max_series)?);
    metrics.describe(&report, &kernel_release())?;
    let matcher = Matcher::new(KernelNs::now(), config.max_connections as usize);
    let rules = Rules { race_window: config.race_window, jiffy: time::jiffy(), reasons };
    let output = Output::start(config.events, metrics.lines_lost.clone()).context("cannot start a thread")?;
    let recent = Recent::new(config.recent as usize);
    let mut pipeline = Pipeline::new(matcher, rules, &metrics, output, recent, config.server_ports);
    let mut ring = Ring::open(ring)?;

    let (queries, mut asked) = mpsc::channel(16);
    let service = Service { metrics: Arc::clone(&metrics), counters, report, queries };
    let server = tokio::spawn(http::serve(listener, Arc::new(service)));
    info!("tracing TCP resets, http://{address}/");

    let mut rest = TICK;
    loop {
        let wait = pipeline.next_due().map_or(rest, |due| due.since(KernelNs::now()).min(rest));
        tokio::select! {
            woken = ring.woken() => woken.context("the ring buffer broke")?,
            Some(Query { limit, answer }) = asked.recv() => {
                let _ = answer.send(pipeline.newest(limit));
            }
            () = sleep(wait) => {}
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        }
        rest = TICK;
        loop {
            let taken = ring.drain(BATCH, |bytes| pipeline.record(bytes));
            pipeline.advance(KernelNs::now());
            if taken > 0 {
                rest = FOLLOW_UP;
            }
            if taken < BATCH {
                break;
            }
        }
        diagnostics.as_mut().map(EbpfLogger::<&dyn Log>::flush);
    }

    // Detach first: what is in the ring then is all there will be.
    drop(programs);
    while ring.drain(BATCH, |bytes| pipeline.record(bytes)) > 0 {}
    pipeline.finish();
    server.abort();
    Ok(())
}

fn kernel_release() -> String {
    nix::sys::utsname::uname()
        .map_or_else(|_| String::from("unknown"), |name| name.release().to_string_lossy().into_owned())
}
