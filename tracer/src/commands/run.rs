//! `tracer`: traces this host until a signal ends it.

use std::{future::pending, time::Duration};

use anyhow::{Context, Result};
use log::warn;
use nix::sys::signal::Signal;
use procfs::process::Process;
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};

use crate::{config::DaemonOptions, daemon, descriptors::explain, http, kernel::preflight};

/// Threads that serve HTTP: while one renders the metrics, the other accepts and answers.
const HTTP_THREADS: usize = 2;

/// How long answers under way get at the end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(100);

/// Traces until SIGINT, SIGTERM or SIGHUP.
pub fn run(options: DaemonOptions) -> Result<()> {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(HTTP_THREADS)
        .thread_name("http")
        .enable_all()
        .on_thread_start(|| {
            // Capabilities belong to threads: the workers never need any but those for the counters.
            if let Err(error) = preflight::drop_privileges() {
                warn!("{error:#}");
            }
        })
        .build()
        .map_err(|error| explain(error, String::from("cannot start the runtime")))?;
    let ended = runtime.block_on(async {
        let stop = stop_signals()?;
        let listener = http::bind(options.listen)?;
        daemon::run(options, listener, stop).await
    });
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    ended
}

/// Ends when one of the signals that end the daemon comes.
fn stop_signals() -> Result<impl Future<Output = ()>> {
    let listen = |kind| signal(kind).context("cannot wait for signals");
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hangup = if is_ignored(Signal::SIGHUP) { None } else { Some(listen(SignalKind::hangup())?) };
    Ok(async move {
        let hangup = async {
            match &mut hangup {
                Some(hangup) => hangup.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup => {}
        }
    })
}

/// Whether whoever started this wants a signal to be ignored: `nohup` does.
fn is_ignored(signal: Signal) -> bool {
    let status = Process::myself().and_then(|process| process.status());
    status.is_ok_and(|status| status.sigign & 1 << (signal as i32 - 1) != 0)
}
