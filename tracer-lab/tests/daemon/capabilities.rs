//! Which privileges the daemon needs, and which it keeps.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tracer_lab::workspace;

use crate::network::Network;
use crate::turn;
use tracer_lab::testbed::daemon::{DaemonUnderTest, command, command_of, run};
use tracer_lab::testbed::http;
use tracer_lab::testbed::wait::until;

/// Capability sets of a thread; none is to have one from 5.19 on, and this machine's kernel is newer.
const SETS: [&str; 5] = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
const NONE: &str = "0000000000000000";

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
    // Who may not empty the bounding set keeps it, without effect.
    every_thread_has(daemon.pid(), "65534", &["CapInh", "CapPrm", "CapEff", "CapAmb"])
}

#[test]
fn what_root_may_is_given_up_after_the_start() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    for (flags, uid) in
        [(&[][..], "65534"), (&["--user", "4711"], "4711"), (&["--user", "root", "--events", "off"], "0")]
    {
        let daemon = DaemonUnderTest::of(command(&[], flags))?;
        every_thread_has(daemon.pid(), uid, &SETS)?;
        let scrape = daemon.scrape()?;
        for family in ["process_resident_memory_bytes", "process_open_fds"] {
            assert!(scrape.sum(family, &[])? > 0, "{family} of the user {uid}");
        }
        // Not even its own user may look into it: the files are root's.
        let memory = fs::metadata(format!("/proc/{}/mem", daemon.pid()))?;
        assert_eq!(memory.uid(), 0);
        assert_eq!(daemon.end(Signal::SIGTERM)?.code, Some(0));
    }
    Ok(())
}

#[test]
fn what_cannot_be_given_up_ends_it_with_a_sentence_unless_told_otherwise() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    let without = &["setpriv", "--bounding-set=-setuid"];
    run(command(without, &[]))?.is_one_sentence(&["the user nobody", "CAP_SETUID", "--keep-privileges"]);
    run(command(&[], &["--user", "no-such-user"]))?.is_one_sentence(&["no-such-user", "--user"]);

    let daemon = DaemonUnderTest::of(command(without, &["--keep-privileges"]))?;
    every_thread_has(daemon.pid(), "0", &SETS)?;
    let ended = daemon.end(Signal::SIGTERM)?;
    ensure!(ended.stderr.contains("WARN") && ended.stderr.contains("the user nobody"), "{ended:?}");
    Ok(())
}

/// Every thread is this user, has none of these capabilities, and can neither get any nor call whatever it likes.
fn every_thread_has(pid: u32, uid: &str, empty: &[&str]) -> Result<()> {
    let mut threads = 0;
    for thread in Path::new("/proc").join(pid.to_string()).join("task").read_dir()? {
        let status = fs::read_to_string(thread?.path().join("status"))?;
        let value = |key: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(":\t"));
            value.unwrap_or_default().trim().to_owned()
        };
        let name = value("Name");
        for set in empty {
            assert_eq!(value(set), NONE, "{set} of the thread {name}");
        }
        for (key, expected) in [("NoNewPrivs", "1"), ("Seccomp", "2"), ("Uid", &[uid; 4].join("\t"))] {
            assert_eq!(value(key), expected, "{key} of the thread {name}");
        }
        threads += 1;
    }
    // The one that waits, the one that traces, two that serve, the one that logs; one that prints, unless told not to.
    assert!(threads >= 5, "{threads} threads");
    Ok(())
}
