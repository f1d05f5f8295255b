//! A command that is watched: what it says goes to a file, and how long it says nothing is noted.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::testbed::process::Process;

const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A running command, ended when dropped.
pub(crate) struct Watched {
    process: Process,
    log: PathBuf,
    began: Instant,
    /// When the log last grew, and to what.
    grew: (Instant, u64),
    silence: Duration,
}

/// What is known of a command that ended, or up to now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) took: Duration,
    /// The longest time in which it said nothing.
    pub(crate) silence: Duration,
}

impl Watched {
    /// Starts `command`. Its standard input ends when it is told to [`finish`](Self::finish).
    pub(crate) fn start(mut command: Command, log: &Path) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let process = Process::start(command.stdin(Stdio::piped()).stdout(file.try_clone()?).stderr(file))?;
        let now = Instant::now();
        Ok(Self { process, log: log.to_owned(), began: now, grew: (now, 0), silence: Duration::ZERO })
    }

    /// Waits until `condition` holds.
    pub(crate) fn until(&mut self, what: &str, limit: Duration, condition: impl Fn() -> bool) -> Result<()> {
        let deadline = Instant::now() + limit;
        while !condition() {
            if let Some(status) = self.poll()? {
                bail!("waited for {what}, and it ended ({status})");
            }
            if Instant::now() >= deadline {
                bail!("waited {} s in vain for {what}", limit.as_secs());
            }
            sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    /// What is known of it while it runs.
    pub(crate) fn so_far(&self) -> Ended {
        Ended { status: ExitStatus::default(), took: self.began.elapsed(), silence: self.silence }
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self, limit: Duration) -> Result<Ended> {
        drop(self.process.stdin());
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.poll()? {
                return Ok(Ended { status, ..self.so_far() });
            }
            if Instant::now() >= deadline {
                bail!("it did not end within {} s", limit.as_secs());
            }
            sleep(LOOK_AGAIN);
        }
    }

    fn poll(&mut self) -> Result<Option<ExitStatus>> {
        let size = fs::metadata(&self.log)?.len();
        self.silence = self.silence.max(self.grew.0.elapsed());
        if size > self.grew.1 {
            self.grew = (Instant::now(), size);
        }
        self.process.ended()
    }
}
