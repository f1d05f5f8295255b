//! The thread that reads events is nobody's victim: not a scraper's, not a disk's, and a signal ends the daemon even
//! where that thread stands still.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::libc::pid_t;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use tempfile::TempDir;
use tracer_lab::testbed::daemon::{DaemonUnderTest, command};
use tracer_lab::testbed::http::get;
use tracer_lab::testbed::process;
use tracer_lab::testbed::scrape::Scrape;
use tracer_lab::testbed::wait::{let_pass, stretched, until};

use crate::network::Network;
use crate::stop::{loaded, programs_of};
use crate::turn;

/// A signal is obeyed within this.
const PROMPT: Duration = Duration::from_secs(2);
/// Refusals at once, with pauses: no ring of the default size is ever full of them.
const BURST: usize = 400;
const PAUSE: Duration = Duration::from_millis(40);
/// Bursts of a storm.
const BURSTS: usize = 60;
/// Threads that scrape one behind the other.
const SCRAPERS: usize = 8;
/// Clients that say half a request; each place is taken by the next one, again and again.
const SLOW: usize = 500;
/// Refusals whose records fill more than a pipe or a page.
const SOME: usize = 800;

#[test]
fn neither_scrapes_nor_slow_clients_cost_an_event() -> Result<()> {
    let Some(_turn) = turn::alone() else { return Ok(()) };
    let network = Network::new()?;
    let port = network.port.to_string();
    let start = || DaemonUnderTest::of(command(&[], &["--events", "off", "--server-port", &port]));
    // What this machine is too slow for, the witness loses too.
    let (daemon, witness) = (start()?, start()?);
    let over = AtomicBool::new(false);
    let scrapes = thread::scope(|scope| {
        let scrapers: Vec<_> = (0..SCRAPERS).map(|_| scope.spawn(|| scrape(daemon.port, &over))).collect();
        scope.spawn(|| crowd(daemon.port, &over));
        let stormed: Result<()> = (0..BURSTS).try_for_each(|_| {
            network.refuse_many(BURST)?;
            let_pass(PAUSE);
            Ok(())
        });
        over.store(true, Ordering::Relaxed);
        stormed.map(|()| scrapers.into_iter().filter_map(|one| one.join().ok()).sum::<usize>())
    })?;
    ensure!(scrapes > BURSTS, "{scrapes} scrapes are no flood");
    let records = 2 * (BURSTS * BURST) as u64;
    let [lost, witnessed] = [&daemon, &witness].map(|one| {
        until("every record to be taken or lost", || {
            let scrape = Scrape::take(one.port)?;
            let lost = scrape.value("tracer_events_lost_total{buffer=\"events\"}")?;
            Ok((scrape.sum("tracer_events_total", &[])? + lost >= records).then_some(lost))
        })
    });
    let (lost, witnessed) = (lost?, witnessed?);
    println!("{scrapes} scrapes: {lost} of {records} records lost, {witnessed} of the witness");
    ensure!(lost <= witnessed, "{lost} records were lost, and only {witnessed} of the witness");
    Ok(())
}

/// Scrapes one behind the other; returns how often. Some may be turned away.
fn scrape(port: u16, over: &AtomicBool) -> usize {
    let mut scrapes = 0;
    while !over.load(Ordering::Relaxed) {
        scrapes += usize::from(get(port, "/metrics").is_ok_and(|answer| answer.status == 200));
    }
    scrapes
}

/// Keeps slow clients there, each time new ones.
fn crowd(port: u16, over: &AtomicBool) {
    let mut clients: Vec<Option<TcpStream>> = (0..SLOW).map(|_| None).collect();
    while !over.load(Ordering::Relaxed) {
        for place in &mut clients {
            *place = TcpStream::connect(("127.0.0.1", port)).ok();
            if let Some(client) = place {
                // It may have had to make room already.
                let _ = client.write_all(b"GET /metrics HTTP/1.1\r\nHost: trac");
            }
        }
    }
}

#[test]
fn a_frozen_file_system_under_the_recording_stops_neither_events_nor_sigterm() -> Result<()> {
    let Some(_turn) = turn::alone() else { return Ok(()) };
    let network = Network::new()?;
    let disk = Disk::new()?;
    let recording = disk.mounted.join("recording");
    let recording = recording.to_str().context("a temporary directory with a strange name")?;
    let port = network.port.to_string();
    let flags = ["--events", "off", "--record", recording, "--server-port", &port];
    let daemon = DaemonUnderTest::of(command(&[], &flags))?;
    let programs = programs_of(daemon.pid())?;
    let frozen = disk.freeze()?;
    for round in 1..=2 {
        network.refuse_many(SOME)?;
        until("events to be read", || {
            let read = Scrape::take(daemon.port)?.sum("tracer_events_total", &[])?;
            Ok((read >= (2 * round * SOME) as u64).then_some(()))
        })?;
    }
    assert_eq!(get(daemon.port, "/-/healthy")?.status, 200);

    let began = Instant::now();
    daemon.send(Signal::SIGTERM);
    until("the port to be closed and all programs to be unloaded", || {
        let closed = TcpStream::connect(("127.0.0.1", daemon.port)).is_err();
        Ok((closed && loaded()?.iter().all(|(id, _)| !programs.contains(id))).then_some(()))
    })?;
    let took = began.elapsed();
    // The kernel lets no process go whose thread waits for such a disk.
    drop(frozen);
    let ended = daemon.end(Signal::SIGTERM)?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(took < stretched(PROMPT), "it took {took:?}");
    assert!(ended.stderr.contains("the recording did not take the last records"), "{ended:?}");
    Ok(())
}

#[test]
fn a_loop_that_stands_still_is_unhealthy_and_does_not_keep_the_daemon() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    let daemon = DaemonUnderTest::of(command(&[], &["--events", "off"]))?;
    let events = thread_of(daemon.pid(), "events")?;
    halt(events)?;
    let answer = until("the daemon to be unhealthy", || {
        let answer = get(daemon.port, "/-/healthy")?;
        Ok((answer.status == 503).then_some(answer))
    })?;
    assert!(answer.text()?.contains("the event loop has not turned for"));
    ptrace::detach(events, None)?;
    until("the daemon to be healthy again", || {
        Ok((get(daemon.port, "/-/healthy")?.status == 200).then_some(()))
    })?;

    halt(events)?;
    let began = Instant::now();
    daemon.send(Signal::SIGTERM);
    // The thread ends with its process, and only then.
    waitpid(events, Some(WaitPidFlag::__WALL))?;
    let took = began.elapsed();
    let ended = daemon.end(Signal::SIGTERM)?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("the event loop stands still"), "{ended:?}");
    assert!(took < stretched(PROMPT), "it took {took:?}");
    Ok(())
}

/// The thread of this name.
fn thread_of(process: u32, name: &str) -> Result<Pid> {
    for task in Path::new("/proc").join(process.to_string()).join("task").read_dir()? {
        let task = task?;
        if fs::read_to_string(task.path().join("comm"))?.trim() == name {
            let id: pid_t = task.file_name().to_str().context("a thread without a number")?.parse()?;
            return Ok(Pid::from_raw(id));
        }
    }
    anyhow::bail!("no thread is called {name}")
}

/// Stops one thread: all others go on.
fn halt(thread: Pid) -> Result<()> {
    ptrace::seize(thread, ptrace::Options::empty())?;
    ptrace::interrupt(thread)?;
    waitpid(thread, Some(WaitPidFlag::__WALL))?;
    Ok(())
}

/// A file system in a file.
struct Disk {
    mounted: PathBuf,
    _directory: TempDir,
}

impl Disk {
    fn new() -> Result<Self> {
        let directory = TempDir::new()?;
        let (image, mounted) = (directory.path().join("image"), directory.path().join("mounted"));
        File::create(&image)?.set_len(16 << 20)?;
        fs::create_dir(&mounted)?;
        process::run_quietly(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image))?;
        process::run_quietly(Command::new("mount").args(["-o", "loop"]).args([&image, &mounted]))?;
        Ok(Self { mounted, _directory: directory })
    }

    fn freeze(&self) -> Result<Frozen<'_>> {
        process::run_quietly(Command::new("fsfreeze").arg("--freeze").arg(&self.mounted))?;
        Ok(Frozen(self))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = process::run_quietly(Command::new("umount").arg("--lazy").arg(&self.mounted));
    }
}

/// A disk on which every write waits until this is dropped.
struct Frozen<'a>(&'a Disk);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        let _ = process::run_quietly(Command::new("fsfreeze").arg("--unfreeze").arg(&self.0.mounted));
    }
}
