//! SIGTERM, SIGINT and SIGHUP: what was seen is printed, and nothing of ours stays in the kernel.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::programs::loaded_programs;
use nix::sys::signal::Signal;
use tracer_lab::testbed::wait::{let_pass, until};

use crate::network::Network;
use crate::turn;
use tracer_lab::testbed::daemon::{DaemonUnderTest, command};

#[test]
fn sigterm_prints_the_last_resets_detaches_and_succeeds() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    check(Signal::SIGTERM)
}

#[test]
fn sigint_prints_the_last_resets_detaches_and_succeeds() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    check(Signal::SIGINT)
}

#[test]
fn sighup_prints_the_last_resets_detaches_and_succeeds() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    check(Signal::SIGHUP)
}

#[test]
fn nohup_keeps_it_alive_when_its_terminal_is_gone() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    let daemon = DaemonUnderTest::of(command(&["nohup"], &["--events", "off"]))?;
    daemon.send(Signal::SIGHUP);
    // It would have ended long before it answers once more.
    let_pass(Duration::from_millis(500));
    daemon.scrape()?;
    assert_eq!(daemon.end(Signal::SIGTERM)?.code, Some(0));
    Ok(())
}

fn check(signal: Signal) -> Result<()> {
    let mut daemon = DaemonUnderTest::of(command(&[], &["--events", "json"]))?;
    let programs = programs_of(daemon.pid())?;
    let names: Vec<_> = loaded()?.into_iter().filter(|(id, _)| programs.contains(id)).collect();
    // The kernel keeps the first 15 bytes of a name.
    for name in ["tcp_send_reset", "tcp_receive_res", "inet_sock_set_s"] {
        assert!(names.iter().any(|(_, found)| found == name), "no {name} in {names:?}");
    }

    let network = Network::new()?;
    let lines = daemon.read_lines()?;
    // A reset is held for 100 ms before it is printed: these are when the signal comes.
    network.refuse(0..3)?;
    let ended = daemon.end(signal)?;

    assert_eq!(ended.code, Some(0), "{ended:?}");
    for server in 0..3 {
        until(&format!("both lines about server {server} after {signal}"), || {
            let lines = network.resets(&lines, server);
            Ok((lines.len() == 2 && lines.iter().all(|line| line.cause == "refused")).then_some(()))
        })?;
    }
    // The kernel frees programs a moment after the last reference is gone.
    until("the kernel to unload all programs", || {
        Ok(loaded()?.iter().all(|(id, _)| !programs.contains(id)).then_some(()))
    })
}

/// Numbers of the eBPF programs that a process holds.
pub(crate) fn programs_of(pid: u32) -> Result<Vec<u32>> {
    let mut programs = Vec::new();
    for descriptor in Path::new("/proc").join(pid.to_string()).join("fdinfo").read_dir()? {
        // One that was closed since the directory was read is no program.
        let Ok(info) = fs::read_to_string(descriptor?.path()) else { continue };
        let id = info.lines().find_map(|line| line.strip_prefix("prog_id:"));
        programs.extend(id.map(|id| id.trim().parse::<u32>()).transpose()?);
    }
    Ok(programs)
}

/// Number and name of every eBPF program in the kernel.
pub(crate) fn loaded() -> Result<Vec<(u32, String)>> {
    let mut programs = Vec::new();
    for program in loaded_programs() {
        // Other daemons come and go meanwhile.
        let Ok(program) = program else { continue };
        programs.push((program.id(), program.name_as_str().context("a name that is no text")?.to_owned()));
    }
    Ok(programs)
}
