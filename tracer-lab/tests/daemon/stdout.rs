//! Readers of the daemon's lines and of its log that are slow or gone: they never hold it up.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;
use tracer_lab::testbed::wait::{stretched, until};

use crate::network::Network;
use crate::turn;
use tracer_lab::testbed::daemon::{DaemonUnderTest, Ended, command};
use tracer_lab::testbed::scrape::Scrape;

/// Refusals, each of which is a line for either end: far more than a pipe and the daemon's queue of 8192 lines hold.
const MANY: usize = 10_000;
/// A signal is obeyed within this.
const PROMPT: Duration = Duration::from_secs(2);
/// More than a pipe of 64 KiB holds.
const SOME: usize = 800;

/// A daemon that prints a line for each end of what the network refuses, and none for others.
fn talkative(wrapper: &[&str], network: &Network) -> Command {
    // No event is lost before it can become a line.
    let roomy = ["--events", "json", "--event-buffer", "67108864"];
    command(wrapper, &[&roomy[..], &["--server-port", &network.port.to_string()]].concat())
}

#[test]
fn lines_that_a_slow_reader_misses_are_counted() -> Result<()> {
    let Some(_turn) = turn::alone() else { return Ok(()) };
    let network = Network::new()?;
    let mut daemon = DaemonUnderTest::of(talkative(&[], &network))?;
    let stdout = daemon.stdout()?;
    network.refuse_many(MANY)?;
    let missed = missed(&daemon, MANY)?;
    assert!(missed > 0, "none of the lines of {MANY} refusals was too many");

    // The reader is back.
    let reader = thread::spawn(|| BufReader::new(stdout).lines().map_while(Result::ok).count());
    let ended = daemon.end(Signal::SIGTERM)?;
    let read = reader.join().map_err(|_| anyhow!("the reader panicked"))?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(read as u64 + missed, 2 * MANY as u64, "{read} lines read, {missed} missed");
    Ok(())
}

/// Ends a daemon that could not print some lines; nothing keeps it.
fn ends_promptly(daemon: DaemonUnderTest, network: &Network) -> Result<Ended> {
    network.refuse_many(SOME)?;
    missed(&daemon, SOME)?;
    let began = Instant::now();
    let ended = daemon.end(Signal::SIGTERM)?;
    assert!(began.elapsed() < stretched(PROMPT), "{:?} after SIGTERM: {ended:?}", began.elapsed());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    Ok(ended)
}

#[test]
fn a_reader_that_never_reads_does_not_keep_the_daemon_from_ending() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    let network = Network::new()?;
    let mut daemon = DaemonUnderTest::of(talkative(&[], &network))?;
    let _unread = daemon.stdout()?;
    let ended = ends_promptly(daemon, &network)?;
    assert!(ended.stderr.contains("stdout did not take the last lines"), "{ended:?}");
    Ok(())
}

#[test]
fn a_reader_that_is_gone_does_not_end_the_daemon() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    let network = Network::new()?;
    let mut daemon = DaemonUnderTest::of(talkative(&[], &network))?;
    drop(daemon.stdout()?);
    check_without_reader(daemon, &network)
}

#[test]
fn a_daemon_without_a_stdout_works() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    let network = Network::new()?;
    let daemon = DaemonUnderTest::of(talkative(&["sh", "-c", "exec \"$@\" >&-", "sh"], &network))?;
    check_without_reader(daemon, &network)
}

#[test]
fn a_full_disk_behind_stdout_is_told_once_and_ends_nothing() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    let network = Network::new()?;
    let daemon = DaemonUnderTest::of(talkative(&["sh", "-c", "exec \"$@\" >/dev/full", "sh"], &network))?;
    let ended = ends_promptly(daemon, &network)?;
    assert_eq!(ended.stderr.matches("No space left on device").count(), 1, "{ended:?}");
    Ok(())
}

#[test]
fn a_log_that_nobody_reads_does_not_hold_up_the_events() -> Result<()> {
    let Some(_turn) = turn::alone() else { return Ok(()) };
    let network = Network::new()?;
    let directory = TempDir::new()?;
    let pipe = directory.path().join("log");
    mkfifo(&pipe, Mode::S_IRWXU)?;
    // Open for reading, and never read.
    let _unread = File::options().read(true).write(true).open(&pipe)?;
    let pipe = pipe.to_str().context("a temporary directory with a strange name")?;
    let mut command = talkative(&["sh", "-c", "exec \"$@\" 2>\"$0\"", pipe], &network);
    // Then the kernel side has a line for each reset.
    command.args(["--log-level", "debug"]);
    let mut daemon = DaemonUnderTest::of(command)?;
    drop(daemon.stdout()?);
    check_without_reader(daemon, &network)
}

fn check_without_reader(daemon: DaemonUnderTest, network: &Network) -> Result<()> {
    network.refuse_many(SOME)?;
    missed(&daemon, SOME)?;
    let ended = daemon.end(Signal::SIGTERM)?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    Ok(())
}

/// Waits until both ends of every refusal are judged; returns how many lines were lost.
fn missed(daemon: &DaemonUnderTest, refusals: usize) -> Result<u64> {
    let mut before = None;
    until(&format!("{refusals} refusals to be judged, and to be printed or missed"), || {
        let scrape = Scrape::take(daemon.port)?;
        let judged =
            scrape.sum("tracer_resets_sent_total", &[])? + scrape.sum("tracer_resets_received_total", &[])?;
        let missed = scrape.value("tracer_events_lost_total{buffer=\"stdout\"}")?;
        // What is judged at this moment is printed or missed in the next.
        let settled = judged == 2 * refusals as u64 && before.replace(missed) == Some(missed);
        Ok(settled.then_some(missed))
    })
}
