//! The soak: thousands of connections of all kinds at once, and every count of theirs compared.
//!
//! Two tracers watch the same connections, one with a large event ring and one with the smallest. The hosts' kernels
//! (SNMP counters), the wire (a capture on every host) and the applications (errors of their sockets) are the evidence.
//! What others on this host do meanwhile is known from what the tracer with the large ring records.

mod figures;
mod kinds;
mod pair;
mod parts;
mod run;
mod tally;
mod verdicts;

use std::fmt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::soak::tally::{Counts, Evidence};
use crate::soak::verdicts::Verdicts;
use crate::testbed::capture::Capture;
use crate::testbed::daemon::{DaemonUnderTest, VANISHED_GRACE};
use crate::testbed::network::{Family, Network};
use crate::testbed::recording::Recording;
use crate::testbed::wait::let_pass;

/// So slow a machine that a race takes longer would be a broken one.
const RACE_WINDOW: &str = "5s";
/// Room for all records of a soak, however busy the machine.
const LARGE_RING: &str = "67108864";
/// The smallest ring: room for 18 records.
const SMALL_RING: &str = "4096";
/// For so long the tracer that has it stands still: then it is full, however quick the tracer is.
const STANDS: Duration = Duration::from_secs(1);
/// The tracer reads records that can wait once a second.
const READ: Duration = Duration::from_millis(1200);

/// What came of a soak.
pub struct Soaked {
    seed: u64,
    seconds: f64,
    connections: usize,
    evidence: Evidence,
    large: Counts,
    small: Counts,
    verdicts: Verdicts,
    /// What the tracer makes of it that has lost most of the records.
    small_verdicts: Verdicts,
    /// This kernel shows every reset.
    all_shown: bool,
}

/// Runs `connections` chosen by `seed`, half of them on IPv6.
pub fn soak(connections: usize, seed: u64) -> Result<Soaked> {
    let directory = TempDir::new().context("no temporary directory for the captures")?;
    let networks = [Network::build(Family::V4)?, Network::build(Family::V6)?];
    // In one of them whole sockets wait for the other side's FIN, in the other time-wait ones: both ways of a late
    // request.
    networks[1].server.sysctl("net.ipv4.tcp_fin_timeout", "120")?;
    let mut captures = Vec::new();
    for net in &networks {
        for host in [&net.server, &net.client] {
            let file = directory.path().join(format!("{}.pcap", host.name()));
            captures.push(Capture::start_of_resets(host, file)?);
        }
    }
    let netns: Vec<u64> = networks.iter().flat_map(|net| [net.server.inum(), net.client.inum()]).collect();
    let [in_large, in_small] = ["large", "small"].map(|name| directory.path().join(name));
    let large = start(LARGE_RING, &in_large)?;
    let small = start(SMALL_RING, &in_small)?;
    let_pass(VANISHED_GRACE);

    let [large_before, small_before] = [large.checkpoint(&in_large)?, small.checkpoint(&in_small)?];
    let before = Evidence::of_kernels(&networks)?;
    let (completed, took) = thread::scope(|scope| {
        scope.spawn(|| {
            small.send(Signal::SIGSTOP);
            let_pass(STANDS);
            small.send(Signal::SIGCONT);
        });
        run::run(&networks, connections, seed)
    })?;
    let evidence = Evidence::of_kernels(&networks)?.since(&before);
    large.lines.await_all(&netns, verdicts::expected_lines(&completed));
    let_pass(READ);
    let [large_after, small_after] = [large.checkpoint(&in_large)?, small.checkpoint(&in_small)?];

    let mut evidence = evidence.with_applications(&completed);
    for (number, capture) in captures.into_iter().enumerate() {
        let net = &networks[number / 2];
        let own = [net.server_endpoint(), net.client_address()][number % 2].ip();
        evidence.add_capture(own, &capture.finish_complete(net.nowhere())?);
    }
    let verdicts = Verdicts::compare(&completed, &large.lines.resets(&netns, 0));
    let small_verdicts = Verdicts::compare(&completed, &small.lines.resets(&netns, 0));
    let all_shown = large.coverage.counts_all();
    for net in &networks {
        net.cut()?;
    }
    large.stop()?;
    small.stop()?;
    let [of_large, of_small] = [Recording::read(&in_large)?, Recording::read(&in_small)?];
    Ok(Soaked {
        seed,
        seconds: took.as_secs_f64(),
        connections: completed.len(),
        evidence,
        large: Counts::between(&[large_before, large_after], &netns, &of_large, &of_large)?,
        small: Counts::between(&[small_before, small_after], &netns, &of_large, &of_small)?,
        verdicts,
        small_verdicts,
        all_shown,
    })
}

/// A tracer that records into this file.
fn start(ring: &str, recording: &Path) -> Result<DaemonUnderTest> {
    let recording = recording.to_str().context("a temporary directory with a strange name")?;
    DaemonUnderTest::start_with(&[
        "--race-window",
        RACE_WINDOW,
        "--event-buffer",
        ring,
        "--record",
        recording,
    ])
}

impl Soaked {
    /// All count the same, and every cause is the scenario's, where the kernel shows every reset.
    pub fn is_exact(&self) -> Result<()> {
        if !self.all_shown {
            return Ok(());
        }
        let mut differences = tally::differences(&self.evidence, &self.large, &self.small);
        differences.extend(self.verdicts.differences());
        ensure!(differences.is_empty(), "seed {}: {}", self.seed, differences.join("; "));
        Ok(())
    }
}

impl fmt::Display for Soaked {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{} connections in {:.1} s, seed {}", self.connections, self.seconds, self.seed)?;
        write!(out, "{}", self.verdicts)?;
        writeln!(out, "evidence   {}", self.evidence)?;
        writeln!(out, "large ring  {}", self.large)?;
        writeln!(out, "small ring  {}", self.small)?;
        writeln!(out, "            {}", self.small_verdicts.summary())?;
        for mistake in self.small_verdicts.mistakes() {
            writeln!(out, "            {mistake}")?;
        }
        if !self.all_shown {
            writeln!(out, "this kernel hides resets: the counts are not compared")?;
        }
        Ok(())
    }
}
