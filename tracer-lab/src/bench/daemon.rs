//! The daemon under measurement: the release binary with default flags.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::bench::running::Running;
use crate::testbed::http;
use crate::testbed::scrape::Scrape;
use crate::testbed::wait::until;
use crate::workspace;

/// A running daemon.
pub(crate) struct Daemon {
    process: Running,
    pub(crate) port: u16,
}

impl Daemon {
    /// Starts it with these flags besides the port, and waits until its probes are attached. What it prints goes nowhere.
    pub(crate) fn start(flags: &[&str]) -> Result<Self> {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let mut command = Command::new(workspace::daemon_under_test());
        command
            .args(["--port", &port.to_string(), "--log-level", "error"])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let mut process = Running::start_here(command)?;
        until("the daemon to be ready", || {
            if let Some(status) = process.ended()? {
                bail!("the daemon ended at once ({status})");
            }
            Ok(http::get(port, "/-/ready").is_ok_and(|answer| answer.status == 200).then_some(()))
        })?;
        Ok(Self { process, port })
    }

    /// Its metrics.
    pub(crate) fn scrape(&self) -> Result<Scrape> {
        Scrape::take(self.port)
    }

    /// CPU time that all its threads used so far, in nanoseconds.
    pub(crate) fn cpu_ns(&self) -> Result<u64> {
        let mut sum = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.pid()))? {
            // Threads come and go.
            let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            sum += text.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(sum)
    }

    /// Resident memory now and at its peak, in KiB.
    pub(crate) fn memory(&self) -> Result<(u64, u64)> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let value = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_whitespace().next()?.parse().ok()
        };
        value("VmRSS:").zip(value("VmHWM:")).context("the kernel tells no memory use")
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }
}

/// Whether the daemon knows this flag.
pub(crate) fn knows(flag: &str) -> bool {
    let help = Command::new(workspace::daemon_under_test()).arg("--help").output();
    help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains(flag))
}
