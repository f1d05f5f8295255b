//! The daemon under test: the release binary, started as users, service managers and attackers do.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::testbed::checkpoint::{Checkpoint, Recorded};
use crate::testbed::coverage::Coverage;
use crate::testbed::http;
use crate::testbed::lines::Lines;
use crate::testbed::process::Process;
use crate::testbed::scrape::Scrape;
use crate::testbed::wait::until;
use crate::workspace;

/// A busy machine may need longer than the default's 5 ms from one step of a race to the next.
pub(crate) const RACE_WINDOW: &str = "100ms";
/// How long after its start a tracer still cannot tell a connection that it has not seen from one that closed before.
pub(crate) const VANISHED_GRACE: Duration = Duration::from_millis(1100);
/// Room for the servers of the lab, whatever else this host talks to.
pub(crate) const MAX_SERIES: &str = "10000";

/// A running daemon, ended when dropped.
pub struct DaemonUnderTest {
    process: Process,
    /// Where it serves HTTP on this host's loopback.
    pub port: u16,
    /// What it printed, once that is read.
    pub lines: Lines,
    /// What it can see under this kernel: everything, unless it was asked.
    pub(crate) coverage: Coverage,
    stdout: Option<ChildStdout>,
    /// Read all the time: a daemon whose pipe is full would wait.
    stderr: Option<JoinHandle<String>>,
}

/// How a daemon ended, and what nobody had read until then.
#[derive(Debug)]
pub struct Ended {
    /// None if a signal killed it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

/// The daemon's command line with these `flags`, behind words of a `wrapper` that becomes the daemon.
#[must_use]
pub fn command(wrapper: &[&str], flags: &[&str]) -> Command {
    command_of(&workspace::daemon_under_test(), wrapper, flags)
}

/// Like [`command`], with the binary somewhere else.
#[must_use]
pub fn command_of(binary: &Path, wrapper: &[&str], flags: &[&str]) -> Command {
    let words: Vec<&OsStr> = wrapper
        .iter()
        .map(OsStr::new)
        .chain([binary.as_os_str()])
        .chain(flags.iter().map(OsStr::new))
        .collect();
    let mut command = Command::new(words[0]);
    // The daemon reads variables too: none but those of the test count.
    command.args(&words[1..]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A port that nobody uses.
pub fn free_port() -> Result<u16> {
    // Bound only: another thread's child has a copy until it runs its program, and one that listened would be in the
    // daemon's way.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    let address = socket.local_addr()?.as_socket().context("a socket without a port")?;
    Ok(address.port())
}

/// Runs a daemon that ends by itself.
pub fn run(mut command: Command) -> Result<Ended> {
    command.args(["--port", &free_port()?.to_string()]);
    run_as_is(command)
}

/// Like [`run`], with nothing added to the command line.
pub fn run_as_is(command: Command) -> Result<Ended> {
    DaemonUnderTest::spawn(command, 0)?.ended()
}

/// How it starts.
impl DaemonUnderTest {
    /// Starts it on a free port and waits until it answers there, ready or not.
    pub fn of(mut command: Command) -> Result<Self> {
        let port = free_port()?;
        command.args(["--port", &port.to_string()]);
        let mut daemon = Self::spawn(command, port)?;
        let answers = until("the daemon to answer", || {
            let healthy = http::get(port, "/-/healthy").is_ok_and(|response| response.status == 200);
            Ok((healthy || daemon.process.ended()?.is_some()).then_some(healthy))
        })?;
        if answers { Ok(daemon) } else { bail!("the daemon did not start: {:?}", daemon.ended()?) }
    }

    /// Starts it on a free port, and leaves it to others to ask: it answers nobody without TLS.
    pub fn unasked(mut command: Command) -> Result<Self> {
        let port = free_port()?;
        command.args(["--port", &port.to_string()]);
        Self::spawn(command, port)
    }

    /// With the flags of the lab, ready, and its lines are read.
    pub fn start() -> Result<Self> {
        Self::start_for_lab(&[])
    }

    /// The same with flags that ask for more.
    pub fn start_for_lab(flags: &[&str]) -> Result<Self> {
        let lab = ["--race-window", RACE_WINDOW, "--max-series", MAX_SERIES];
        Self::start_with(&[&lab, flags].concat())
    }

    /// With these flags only, ready, and its lines are read.
    pub fn start_with(flags: &[&str]) -> Result<Self> {
        let json = ["--events", "json", "--listen-address", "127.0.0.1"];
        let mut daemon = Self::of(command(&[], &[&json, flags].concat()))?;
        daemon.read_lines()?;
        daemon.is_ready()?;
        let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        daemon.coverage = Coverage::read(&daemon.metrics()?, &release);
        Ok(daemon)
    }

    /// Waits until all its probes are attached.
    pub(crate) fn is_ready(&self) -> Result<()> {
        until("the daemon to be ready", || {
            Ok(http::get(self.port, "/-/ready")?.status.eq(&200).then_some(()))
        })
    }

    fn spawn(mut command: Command, port: u16) -> Result<Self> {
        let mut process = Process::start(&mut command).context("`cargo xtask build` makes the daemon")?;
        let stdout = process.stdout();
        let stderr = process.stderr().map(|stderr| thread::spawn(move || text(stderr)));
        let (lines, coverage) = (Lines::default(), Coverage::WHOLE);
        Ok(Self { process, port, lines, coverage, stdout, stderr })
    }
}

/// What it says.
impl DaemonUnderTest {
    /// Its stdout, which is then no longer read when it ends.
    pub fn stdout(&mut self) -> Result<ChildStdout> {
        self.stdout.take().context("the daemon's stdout is taken")
    }

    /// Reads the JSON lines that it prints, from now on.
    pub fn read_lines(&mut self) -> Result<Lines> {
        let stdout = self.stdout()?;
        self.lines.read(stdout);
        Ok(self.lines.clone())
    }

    /// What it has counted at a moment, when all it told is read, if it is; it must be recording into this file.
    pub fn checkpoint(&self, recording: &Path) -> Result<Checkpoint> {
        let is_read = self.stdout.is_none();
        let daemon = Recorded { port: self.port, recording };
        daemon.checkpoint(|| is_read.then(|| self.lines.printed()))
    }

    /// Its metrics.
    pub fn scrape(&self) -> Result<Scrape> {
        Scrape::take(self.port)
    }

    /// Its metrics in the text format.
    pub(crate) fn metrics(&self) -> Result<String> {
        self.get("/metrics")
    }

    /// What it answers at this path.
    pub(crate) fn get(&self, path: &str) -> Result<String> {
        http::get(self.port, path)?.text()
    }

    /// What it answers as JSON.
    pub fn json(&self, path: &str) -> Result<Value> {
        let response = http::get(self.port, path)?;
        ensure!(response.status == 200, "the daemon answers {} to {path}", response.status);
        Ok(serde_json::from_slice(&response.body)?)
    }
}

/// How it ends.
impl DaemonUnderTest {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Sends it a signal.
    pub fn send(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Sends the signal and waits for the end.
    pub fn end(self, signal: Signal) -> Result<Ended> {
        self.send(signal);
        self.ended()
    }

    /// Ends it as a service manager would; it must end well, and must have printed nothing but the contract's JSON.
    pub fn stop(self) -> Result<()> {
        let lines = self.lines.clone();
        let ended = self.end(Signal::SIGTERM)?;
        ensure!(ended.code == Some(0), "the daemon ended badly after SIGTERM: {ended:?}");
        let unreadable = lines.unreadable();
        ensure!(unreadable.is_empty(), "lines of the daemon are unreadable: {}", unreadable.join("; "));
        Ok(())
    }

    fn ended(mut self) -> Result<Ended> {
        let stdout = self.stdout.take().map(|stdout| thread::spawn(move || text(stdout)));
        let status = self.process.wait()?;
        let read = |thread: Option<JoinHandle<String>>| match thread.map(JoinHandle::join) {
            Some(Ok(text)) => text,
            _ => String::new(),
        };
        Ok(Ended { code: status.code(), stdout: read(stdout), stderr: read(self.stderr.take()) })
    }
}

impl Ended {
    /// Exit code 1, nothing on stdout, and on stderr one line that has all these words.
    ///
    /// # Panics
    /// When it is not so.
    pub fn is_one_sentence(&self, words: &[&str]) {
        assert_eq!((self.code, self.stdout.as_str()), (Some(1), ""), "{self:?}");
        let [sentence] = self.stderr.lines().collect::<Vec<_>>()[..] else {
            panic!("not one line: {}", self.stderr)
        };
        assert!(sentence.starts_with("tracer: "), "{sentence}");
        for word in words {
            assert!(sentence.contains(word), "no word of {word} in: {sentence}");
        }
    }
}

fn text(mut from: impl Read) -> String {
    let mut bytes = Vec::new();
    let _ = from.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
