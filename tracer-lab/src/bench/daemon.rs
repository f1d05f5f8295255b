//! The daemon under measurement, and what it uses.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::testbed::daemon::{self, DaemonUnderTest};
use crate::workspace;

/// Starts it with these flags and default ones, and waits until its probes are attached. What it prints goes nowhere.
pub(crate) fn start(flags: &[&str]) -> Result<DaemonUnderTest> {
    start_binary(&workspace::daemon_under_test(), flags)
}

/// The same of another binary.
pub(crate) fn start_binary(binary: &Path, flags: &[&str]) -> Result<DaemonUnderTest> {
    let mut command = daemon::command_of(binary, &[], &[&["--log-level", "error"], flags].concat());
    command.stdout(Stdio::null()).stderr(Stdio::inherit());
    let daemon = DaemonUnderTest::of(command)?;
    daemon.is_ready()?;
    Ok(daemon)
}

/// CPU time that all its threads used so far, in nanoseconds.
pub(crate) fn cpu_ns(daemon: &DaemonUnderTest) -> Result<u64> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{}/task", daemon.pid()))? {
        // Threads come and go.
        let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        sum += text.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(sum)
}

/// Resident memory now and at its peak, in KiB.
pub(crate) fn memory(daemon: &DaemonUnderTest) -> Result<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid()))?;
    let value = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse().ok()
    };
    value("VmRSS:").zip(value("VmHWM:")).context("the kernel tells no memory use")
}

/// Whether the daemon knows this flag.
pub(crate) fn knows(flag: &str) -> bool {
    let help = Command::new(workspace::daemon_under_test()).arg("--help").output();
    help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains(flag))
}
