//! A daemon as a process: how it is started, what it prints, how it ends.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tracer_lab::testbed::http;
use tracer_lab::testbed::moment::{Moment, Recorded};
use tracer_lab::testbed::wait::until;
use tracer_lab::workspace;

use crate::network::Network;

/// A running daemon, killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) port: u16,
    stdout: Option<ChildStdout>,
    stderr: Option<JoinHandle<String>>,
}

/// How a daemon ended, and what nobody had read until then.
#[derive(Debug)]
pub(crate) struct Ended {
    /// None if a signal killed it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The daemon's command line with these `flags`, behind words of a `wrapper` that becomes the daemon.
pub(crate) fn tracer(wrapper: &[&str], flags: &[&str]) -> Command {
    tracer_at(&workspace::daemon_under_test(), wrapper, flags)
}

/// Like [`tracer`], with the binary somewhere else.
pub(crate) fn tracer_at(binary: &Path, wrapper: &[&str], flags: &[&str]) -> Command {
    let words: Vec<&OsStr> = wrapper
        .iter()
        .map(OsStr::new)
        .chain([binary.as_os_str()])
        .chain(flags.iter().map(OsStr::new))
        .collect();
    let mut command = Command::new(words[0]);
    // The daemon reads variables too: none but those of the test count.
    command.args(&words[1..]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

/// A port that nobody uses.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Runs a daemon that ends by itself.
pub(crate) fn run(mut command: Command) -> Result<Ended> {
    command.args(["--port", &free_port()?.to_string()]);
    run_as_is(command)
}

/// Like [`run`], with nothing added to the command line.
pub(crate) fn run_as_is(command: Command) -> Result<Ended> {
    Daemon::spawn(command, 0)?.ended()
}

impl Daemon {
    /// Starts it on a free port and waits until it answers there.
    pub(crate) fn start(mut command: Command) -> Result<Self> {
        let port = free_port()?;
        command.args(["--port", &port.to_string()]);
        let mut daemon = Self::spawn(command, port)?;
        let what = "the daemon to answer";
        let answers = until(what, || {
            let healthy = http::get(port, "/-/healthy").is_ok_and(|response| response.status == 200);
            Ok((healthy || daemon.child.try_wait()?.is_some()).then_some(healthy))
        })?;
        if answers { Ok(daemon) } else { bail!("the daemon did not start: {:?}", daemon.ended()?) }
    }

    fn spawn(mut command: Command, port: u16) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {command:?} (`cargo xtask build` makes the daemon)"))?;
        let stdout = child.stdout.take();
        let stderr = child.stderr.take().map(|stderr| thread::spawn(move || text(stderr)));
        Ok(Self { child, port, stdout, stderr })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn send(&self, signal: Signal) -> Result<()> {
        Ok(kill(Pid::from_raw(self.pid().try_into()?), signal)?)
    }

    /// What it has counted at a moment; it must be recording into this file, and print nothing.
    pub(crate) fn moment(&self, recording: &Path) -> Result<Moment> {
        Recorded { port: self.port, pid: self.pid(), recording }.moment(|| None)
    }

    /// Its stdout, which is then no longer read when it ends.
    pub(crate) fn stdout(&mut self) -> Result<ChildStdout> {
        self.stdout.take().ok_or_else(|| anyhow!("the daemon's stdout is taken"))
    }

    /// Reads the JSON lines that it prints, from now on.
    pub(crate) fn lines(&mut self) -> Result<Lines> {
        let stdout = BufReader::new(self.stdout()?);
        let lines = Lines::default();
        let into = lines.clone();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                into.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Ok(lines)
    }

    /// Sends the signal and waits for the end.
    pub(crate) fn stop(self, signal: Signal) -> Result<Ended> {
        self.send(signal)?;
        self.ended()
    }

    fn ended(mut self) -> Result<Ended> {
        let stdout = self.stdout.take().map(|stdout| thread::spawn(move || text(stdout)));
        let status = until("the daemon to end", || Ok(self.child.try_wait()?))?;
        let read = |thread: Option<JoinHandle<String>>| match thread.map(JoinHandle::join) {
            Some(Ok(text)) => text,
            _ => String::new(),
        };
        Ok(Ended { code: status.code(), stdout: read(stdout), stderr: read(self.stderr.take()) })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// JSON lines that a daemon printed.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<Value>>>);

impl Lines {
    /// Those about connections to a server of the network.
    pub(crate) fn about(&self, network: &Network, server: u16) -> Vec<Value> {
        let (netns, server) = (network.inum, network.server(server).to_string());
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter(|line| line["netns"] == netns && line["server"] == *server).cloned().collect()
    }
}

fn text(mut from: impl Read) -> String {
    let mut bytes = Vec::new();
    let _ = from.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
