//! `tracer`: traces this host until a signal ends it.

use anyhow::{Context, Result};
use log::warn;
use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
};

use crate::{config::DaemonOptions, daemon, http, kernel::preflight};

/// Traces until SIGINT or SIGTERM.
pub fn run(options: DaemonOptions) -> Result<()> {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .on_thread_start(|| {
            // Capabilities belong to threads: the worker never needs any but those for the counters.
            if let Err(error) = preflight::drop_privileges() {
                warn!("{error:#}");
            }
        })
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let stop = stop_signals()?;
        let listener = http::bind(options.listen)?;
        daemon::run(options, listener, stop).await
    })
}

/// Ends when one of the signals that end the daemon comes.
fn stop_signals() -> Result<impl Future<Output = ()>> {
    let listen = |kind| signal(kind).context("cannot wait for signals");
    let mut interrupt: Signal = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
