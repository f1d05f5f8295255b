//! Other programs: run to their end, or running beside a test.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub use crate::programs::{find, output, run, run_quietly, step};
use crate::testbed::wait::{patience, until};

/// How long a program has to end after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// `program` under `timeout`, which passes signals on: should the lab be killed, it outlives it for so many seconds at
/// most.
#[must_use]
pub fn bounded(program: &str, seconds: u32) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--foreground", "--kill-after=3", &seconds.to_string(), program]);
    command
}

/// A program that runs beside a test; ended when dropped.
pub struct Process {
    child: Child,
    name: String,
}

impl Process {
    /// Starts `command`, in the namespaces of the calling thread.
    pub fn start(command: &mut Command) -> Result<Self> {
        let name = command.get_program().display().to_string();
        let child = command.spawn().with_context(|| format!("cannot run {name}"))?;
        Ok(Self { child, name })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its standard input, if it is a pipe that nobody has taken.
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Its standard output, if it is a pipe that nobody has taken.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Its standard error, if it is a pipe that nobody has taken.
    pub fn stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Sends it a signal. It may have ended by itself.
    pub fn signal(&self, signal: Signal) {
        if let Ok(pid) = i32::try_from(self.id()) {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let what = format!("{} to end", self.name);
        until(&what, || self.ended())
    }

    /// Waits for its end, but no longer than `limit`.
    pub fn wait_for(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        let deadline = Instant::now() + limit;
        loop {
            let ended = self.ended()?;
            if ended.is_some() || Instant::now() >= deadline {
                return Ok(ended);
            }
            sleep(PAUSE);
        }
    }

    /// Waits until `poll` finds something, and no longer than it runs; if it ended, `log` says why.
    pub fn until<T>(
        &mut self,
        what: &str,
        log: Option<&Path>,
        mut poll: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        until(what, || {
            if let Some(status) = self.ended()? {
                let said = log.and_then(|log| fs::read_to_string(log).ok()).unwrap_or_default();
                bail!("{} ended at once ({status}): {}", self.name, said.trim());
            }
            poll()
        })
    }

    /// Waits for a line with `word` on its output, else on its standard error; what it says then is read and forgotten.
    pub fn says(&mut self, word: &'static str) -> Result<()> {
        let said: Option<Box<dyn Read + Send>> = match (self.stdout(), self.stderr()) {
            (Some(stdout), _) => Some(Box::new(stdout)),
            (None, Some(stderr)) => Some(Box::new(stderr)),
            (None, None) => None,
        };
        let said = said.context("nothing to listen to")?;
        let (found, heard) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(said).lines().map_while(Result::ok) {
                if line.contains(word) {
                    // Nobody listens after the first.
                    let _ = found.send(());
                }
            }
        });
        match heard.recv_timeout(patience()) {
            Ok(()) => Ok(()),
            Err(RecvTimeoutError::Timeout) => bail!("{} never said {word:?}", self.name),
            Err(RecvTimeoutError::Disconnected) => bail!("{} ended without saying {word:?}", self.name),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its id may be another's by now.
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        self.signal(Signal::SIGTERM);
        // One that is stopped ends when it goes on.
        self.signal(Signal::SIGCONT);
        let deadline = Instant::now() + GRACE;
        while self.child.try_wait().is_ok_and(|ended| ended.is_none()) && Instant::now() < deadline {
            sleep(Duration::from_millis(1));
        }
        // Nothing to one that ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_ends_with_its_handle() {
        let process = Process::start(Command::new("sleep").arg("60")).unwrap();
        let alive = Path::new("/proc").join(process.id().to_string());
        assert!(alive.exists());
        drop(process);
        assert!(!alive.exists());
    }
}
