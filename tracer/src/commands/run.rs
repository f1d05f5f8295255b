//! `tracer`: traces this host until a signal ends it.

use std::future::pending;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use procfs::process::Process;
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};

use crate::{config::DaemonOptions, daemon::Daemon, descriptors::explain, http, log::Log};

/// Traces until SIGINT, SIGTERM or SIGHUP.
pub fn run(options: DaemonOptions, log: &Log) -> Result<()> {
    // Without a thread of its own: none is started before the privileges are given up.
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| explain(error, String::from("cannot start the runtime")))?;
    let inside = runtime.enter();
    let shutdown = stop_signals()?;
    let listener = http::bind(options.listen)?;
    drop(inside);
    Daemon::start(options, listener, log)?.run(&runtime, shutdown)
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
