//! A program that runs while something is measured.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::testbed::host::Host;

/// Longer than anything takes to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running program, asked to end when dropped, and waited for.
pub(crate) struct Running(Child);

impl Running {
    /// Starts `command` on `host`.
    pub(crate) fn start(mut command: Command, host: &Host) -> Result<Self> {
        let name = command.get_program().display().to_string();
        host.enter(|| command.spawn().with_context(|| format!("cannot run {name}")).map(Self))
    }

    /// Starts `command` outside all namespaces.
    pub(crate) fn start_here(mut command: Command) -> Result<Self> {
        let name = command.get_program().display().to_string();
        command.spawn().with_context(|| format!("cannot run {name}")).map(Self)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.0.try_wait()?)
    }

    /// Waits for a line with `word` on its standard output; what it says then is read and forgotten.
    pub(crate) fn says(&mut self, word: &'static str) -> Result<()> {
        let said: Option<Box<dyn Read + Send>> = match (self.0.stdout.take(), self.0.stderr.take()) {
            (Some(stdout), _) => Some(Box::new(stdout)),
            (None, Some(stderr)) => Some(Box::new(stderr)),
            (None, None) => None,
        };
        let said = said.context("nothing to listen to")?;
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(said).lines().map_while(Result::ok) {
                if line.contains(word) {
                    // Nobody listens after the first.
                    let _ = tell.send(());
                }
            }
        });
        match told.recv_timeout(PATIENCE) {
            Ok(()) => Ok(()),
            Err(RecvTimeoutError::Timeout) => bail!("it never said {word:?}"),
            Err(RecvTimeoutError::Disconnected) => bail!("it ended without saying {word:?}"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.0.id()) {
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let _ = self.0.wait();
    }
}
