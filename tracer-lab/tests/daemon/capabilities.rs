//! Which privileges the daemon needs, and which it keeps.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use tempfile::TempDir;
use tracer_lab::workspace;

use crate::network::Network;
use crate::turn;
use tracer_lab::testbed::daemon::{DaemonUnderTest, command, command_of, run};
use tracer_lab::testbed::http;
use tracer_lab::testbed::wait::until;

/// `include/uapi/linux/capability.h`
const CAP_BPF: u64 = 1 << 39;

const AS_NOBODY: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/// The binary where every user can reach it.
pub(crate) fn public_binary() -> Result<(TempDir, PathBuf)> {
    let directory = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir()?;
    let binary = directory.path().join("tracer");
    // By another process: a file that this one writes is busy for as long as a child of another test may have it open.
    let mut install = Command::new("install");
    let status = install.args(["-m", "755"]).arg(workspace::daemon_under_test()).arg(&binary).status()?;
    ensure!(status.success(), "there is no daemon: `cargo xtask build` makes it");
    Ok((directory, binary))
}

#[test]
fn a_user_who_is_not_root_is_told_what_is_missing() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    let (_directory, binary) = public_binary()?;
    let ended = run(command_of(&binary, &AS_NOBODY, &[]))?;
    ended.is_one_sentence(&["needs CAP_BPF and CAP_PERFMON", "run as root", "grant"]);
    Ok(())
}

#[test]
fn a_root_without_a_capability_is_told_which() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    for (bounding, missing) in [
        ("--bounding-set=-sys_admin,-bpf", "needs CAP_BPF: "),
        ("--bounding-set=-sys_admin,-perfmon", "needs CAP_PERFMON: "),
        ("--bounding-set=-all", "needs CAP_BPF and CAP_PERFMON: "),
    ] {
        run(command(&["setpriv", bounding], &[]))?.is_one_sentence(&[missing]);
    }
    Ok(())
}

#[test]
fn two_capabilities_are_enough_for_any_user() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    let (_directory, binary) = public_binary()?;
    let granted = ["--inh-caps=+bpf,+perfmon", "--ambient-caps=+bpf,+perfmon"];
    let wrapper = [&AS_NOBODY[..], &granted].concat();
    let mut daemon = DaemonUnderTest::of(command_of(&binary, &wrapper, &["--events", "json"]))?;
    assert_eq!(http::get(daemon.port, "/-/ready")?.status, 200);
    let lines = daemon.read_lines()?;
    let network = Network::new()?;
    network.refuse(0..1)?;
    until("both resets", || Ok((network.resets(&lines, 0).len() == 2).then_some(())))?;
    every_thread_keeps_only_cap_bpf(daemon.pid())
}

#[test]
fn what_root_may_is_given_up_after_the_start() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    let daemon = DaemonUnderTest::of(command(&[], &[]))?;
    every_thread_keeps_only_cap_bpf(daemon.pid())
}

fn every_thread_keeps_only_cap_bpf(pid: u32) -> Result<()> {
    let mut threads = 0;
    for thread in Path::new("/proc").join(pid.to_string()).join("task").read_dir()? {
        let status = fs::read_to_string(thread?.path().join("status"))?;
        let held = |set: &str| {
            let digits = status.lines().find_map(|line| line.strip_prefix(set)?.strip_prefix(":\t"));
            u64::from_str_radix(digits.unwrap_or_default(), 16)
        };
        for (set, expected) in [("CapEff", CAP_BPF), ("CapPrm", CAP_BPF), ("CapInh", 0), ("CapAmb", 0)] {
            assert_eq!(held(set)?, expected, "{set} of the thread {}", status.lines().next().unwrap_or(""));
        }
        threads += 1;
    }
    // The one that traces, the one that serves, the one that prints, the one that logs.
    assert!(threads >= 4, "{threads} threads");
    Ok(())
}
