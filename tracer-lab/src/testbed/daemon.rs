//! The tracer under test: the real release binary, as a user runs it.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::oracle::coverage::Sight;
use crate::testbed::http;
use crate::testbed::moment::{Moment, Printed, Recorded};
use crate::testbed::reset::Reset;
use crate::testbed::wait::{let_pass, stretched, until};
use crate::workspace;

/// The tracer holds an incident for about 100 ms, so that RST segments that follow are counted with it.
const TOLD_WITHIN: Duration = Duration::from_secs(2);
/// After the last step of a scenario, no line may come that is not expected, and it would have come by then.
const SETTLED: Duration = Duration::from_millis(300);

/// A busy machine may need longer than the default's 5 ms from one step of a race to the next.
pub(crate) const RACE_WINDOW: &str = "100ms";

/// Room for the servers of the lab, whatever else this host talks to.
pub(crate) const MAX_SERIES: &str = "10000";

/// A running tracer, killed when dropped and not stopped.
pub struct Tracer {
    child: Child,
    port: u16,
    /// What it writes on its standard error: read all the time, for a tracer whose pipe is full would wait.
    stderr: Option<JoinHandle<String>>,
    lines: Arc<Mutex<Lines>>,
    /// What it can see under this kernel.
    pub(crate) sight: Sight,
}

#[derive(Default)]
struct Lines {
    /// By network namespace: others on this machine may reset much more than the lab.
    resets: HashMap<u64, Vec<Reset>>,
    /// How many there were, whether forgotten or not.
    printed: Printed,
    /// What was wrong with a line.
    unreadable: Vec<String>,
}

impl Lines {
    fn about(&self, netns: &[u64]) -> impl Iterator<Item = &Reset> {
        netns.iter().filter_map(|number| self.resets.get(number)).flatten()
    }
}

impl Tracer {
    /// Starts it and waits until it says that it is ready.
    pub fn start() -> Result<Self> {
        Self::start_asked_for(&[])
    }

    /// The same with flags that ask for more.
    pub(crate) fn start_asked_for(flags: &[&str]) -> Result<Self> {
        let lab = ["--race-window", RACE_WINDOW, "--max-series", MAX_SERIES];
        Self::start_with(&[&lab, flags].concat())
    }

    /// The same with these flags only.
    pub fn start_with(flags: &[&str]) -> Result<Self> {
        let binary = workspace::daemon_under_test();
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let mut child = Command::new(&binary)
            .args(["--events", "json", "--listen-address", "127.0.0.1", "--port"])
            .arg(port.to_string())
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {} (`cargo xtask build` makes it)", binary.display()))?;
        let stdout = child.stdout.take().ok_or_else(|| anyhow!("the tracer has no standard output"))?;
        let lines = Arc::new(Mutex::new(Lines::default()));
        let into = Arc::clone(&lines);
        thread::spawn(move || read_lines(stdout, &into));
        let stderr = child.stderr.take().map(|stderr| thread::spawn(move || read_all(stderr)));
        let mut tracer = Self { child, port, stderr, lines, sight: Sight::WHOLE };
        until("the tracer to be ready", || tracer.is_ready())?;
        tracer.sight = Sight::read(&tracer.metrics()?, &fs::read_to_string("/proc/sys/kernel/osrelease")?);
        Ok(tracer)
    }

    /// Where it serves HTTP on this host's loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    fn is_ready(&mut self) -> Result<Option<()>> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the tracer ended at once ({status}): {}", self.complaints());
        }
        let answer = http::get(self.port, "/-/ready");
        Ok(answer.is_ok_and(|response| response.status == 200).then_some(()))
    }

    /// What an ended tracer wrote on its standard error.
    fn complaints(&mut self) -> String {
        let text = self.stderr.take().and_then(|stderr| stderr.join().ok());
        text.unwrap_or_default().trim().to_owned()
    }

    /// Forgets the lines about these network namespaces: their numbers may have had another meaning before.
    pub(crate) fn forget(&self, netns: &[u64]) {
        self.lines().resets.retain(|number, _| !netns.contains(number));
    }

    /// The lines about these network namespaces: as soon as `expected` are there and no more come.
    pub(crate) fn resets(&self, netns: &[u64], expected: usize) -> Vec<Reset> {
        let (asked, told_within) = (Instant::now(), stretched(TOLD_WITHIN));
        loop {
            let found: Vec<_> = self.lines().about(netns).cloned().collect();
            let waited = asked.elapsed();
            if waited >= told_within || (found.len() >= expected && waited >= SETTLED) {
                return found;
            }
            let_pass(Duration::from_millis(5));
        }
    }

    /// Waits until `expected` lines about these network namespaces are there and no more come.
    pub(crate) fn settle(&self, netns: &[u64], expected: usize) {
        let asked = Instant::now();
        while asked.elapsed() < stretched(TOLD_WITHIN) && self.lines().about(netns).count() < expected {
            let_pass(Duration::from_millis(5));
        }
        let_pass(SETTLED);
    }

    /// What it has counted at a moment, when all it told is read; it must be recording into this file.
    pub(crate) fn moment(&self, recording: &Path) -> Result<Moment> {
        let tracer = Recorded { port: self.port, pid: self.child.id(), recording };
        tracer.moment(|| Some(self.lines().printed))
    }

    /// The tracer's metrics in the text format.
    pub(crate) fn metrics(&self) -> Result<String> {
        self.get("/metrics")
    }

    /// What it answers at this path.
    pub(crate) fn get(&self, path: &str) -> Result<String> {
        http::get(self.port, path)?.text()
    }

    /// What it answers as JSON.
    pub(crate) fn json(&self, path: &str) -> Result<Value> {
        let response = http::get(self.port, path)?;
        ensure!(response.status == 200, "the tracer answers {} to {path}", response.status);
        Ok(serde_json::from_slice(&response.body)?)
    }

    /// Ends it as a service manager would; it must end well, and must have printed nothing but the contract's JSON.
    pub fn stop(mut self) -> Result<()> {
        kill(Pid::from_raw(self.child.id().try_into()?), Signal::SIGTERM)?;
        let status = until("the tracer to end after SIGTERM", || Ok(self.child.try_wait()?))?;
        ensure!(status.success(), "the tracer ended badly after SIGTERM ({status}): {}", self.complaints());
        let lines = self.lines();
        ensure!(
            lines.unreadable.is_empty(),
            "lines of the tracer are unreadable: {}",
            lines.unreadable.join("; ")
        );
        Ok(())
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_lines(stdout: ChildStdout, into: &Mutex<Lines>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        let read = Reset::parse(&line);
        let mut lines = into.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(reset) => {
                lines.printed.lines += 1;
                lines.printed.unmatched += u64::from(reset.matched == "none");
                lines.resets.entry(reset.netns).or_default().push(reset);
            }
            Err(error) => lines.unreadable.push(format!("{error:#}")),
        }
    }
}

fn read_all(mut stderr: ChildStderr) -> String {
    let mut bytes = Vec::new();
    let _ = stderr.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
