//! The mix: thousands of connections of all kinds at once, and every count of theirs compared.
//!
//! Two tracers watch the same connections, one with the default event ring and one with the smallest. The hosts' kernels
//! (SNMP counters), the wire (a capture on every host) and the applications (errors of their sockets) are the witnesses.

mod kinds;
mod pair;
mod run;
mod tally;
mod verdicts;

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::soak::tally::{Counts, Witnesses};
use crate::soak::verdicts::Verdicts;
use crate::testbed::capture::Capture;
use crate::testbed::daemon::Tracer;
use crate::testbed::network::{Family, Net};
use crate::testbed::wait::let_pass;

/// So slow a machine that a race takes longer would be a broken one.
const RACE_WINDOW: &str = "5s";
/// The smallest ring: room for 23 records.
const SMALL_RING: &str = "4096";
/// The tracer reads records that can wait once a second.
const READ: Duration = Duration::from_millis(1200);
/// After this long a tracer knows that a connection it has not seen was not closed before it started.
const MOMENT: Duration = Duration::from_millis(1100);

/// Scrapes of both tracers until nobody has come between.
const TRIES: usize = 4;

/// What came of a mix.
pub struct Mixed {
    seed: u64,
    seconds: f64,
    connections: usize,
    witnesses: Witnesses,
    large: Counts,
    small: Counts,
    verdicts: Verdicts,
    /// What the tracer makes of it that has lost most of the records.
    small_verdicts: Verdicts,
    /// This kernel shows every reset.
    all_shown: bool,
    /// Lines about others on this host, who disturb all the totals.
    others: usize,
}

/// Plays `connections` chosen by `seed`, half of them on IPv6.
pub fn mix(connections: usize, seed: u64) -> Result<Mixed> {
    let directory = TempDir::new().context("no temporary directory for the captures")?;
    let large = Tracer::start_with(&["--race-window", RACE_WINDOW])?;
    let small = Tracer::start_with(&["--race-window", RACE_WINDOW, "--event-buffer", SMALL_RING])?;
    let networks = [Net::build(Family::V4)?, Net::build(Family::V6)?];
    // In one of them whole sockets wait for the other side's FIN, in the other time-wait ones: both ways of a late request.
    networks[1].server.sysctl("net.ipv4.tcp_fin_timeout", "120")?;
    let mut captures = Vec::new();
    for net in &networks {
        for host in [&net.server, &net.client] {
            let file = directory.path().join(format!("{}.pcap", host.name()));
            captures.push(Capture::start_of_resets(host, file)?);
        }
    }
    let netns: Vec<u64> = networks.iter().flat_map(|net| [net.server.inum(), net.client.inum()]).collect();
    for tracer in [&large, &small] {
        tracer.forget(&netns);
    }
    let_pass(MOMENT);

    let (_, others) = large.told(&netns);
    let both = Both { large: &large, small: &small, netns: &netns };
    let [large_before, small_before] = both.read_in_step()?;
    let before = Witnesses::of_kernels(&networks)?;
    let (played, took) = run::play(&networks, connections, seed)?;
    let witnesses = Witnesses::of_kernels(&networks)?.since(&before);
    large.settle(&netns, verdicts::expected_lines(&played));
    let_pass(READ);
    let [large_counts, small_counts] = both.read_until_equal(&large_before, &small_before)?;

    let mut witnesses = witnesses.with_applications(&played);
    for (number, capture) in captures.into_iter().enumerate() {
        let net = &networks[number / 2];
        let own = [net.server_endpoint(), net.client_address()][number % 2].ip();
        witnesses.add_capture(own, &capture.finish_complete(net.nowhere())?);
    }
    let verdicts = Verdicts::compare(&played, &large.resets(&netns, 0));
    let mixed = Mixed {
        seed,
        seconds: took.as_secs_f64(),
        connections: played.len(),
        witnesses,
        large: large_counts,
        small: small_counts,
        verdicts,
        small_verdicts: Verdicts::compare(&played, &small.resets(&netns, 0)),
        all_shown: large.sight.counts_all(),
        others: large.told(&netns).1 - others,
    };
    for net in &networks {
        net.cut()?;
    }
    large.stop()?;
    small.stop()?;
    Ok(mixed)
}

/// Two tracers that count the same records.
///
/// Each scrape is a connection of its own, whose close they count as well, at the latest when their next tick is over. Scraped
/// in the same order, with a tick between, both have counted the same scrapes. But somebody else's close may fall between
/// their two scrapes.
struct Both<'a> {
    large: &'a Tracer,
    small: &'a Tracer,
    netns: &'a [u64],
}

impl Both<'_> {
    fn read(&self) -> Result<[Counts; 2]> {
        let large = Counts::read(self.large, self.netns)?;
        let_pass(READ);
        let small = Counts::read(self.small, self.netns)?;
        let_pass(READ);
        Ok([large, small])
    }

    /// Reads when nobody else closed a connection between the two scrapes: then the next ones differ by the same.
    fn read_in_step(&self) -> Result<[Counts; 2]> {
        let [mut large, mut small] = self.read()?;
        for _ in 0..TRIES {
            let [next_large, next_small] = self.read()?;
            if next_large.since(&large).was_offered_the_same(&next_small.since(&small)) {
                break;
            }
            [large, small] = [next_large, next_small];
        }
        Ok([large, small])
    }

    /// What was counted since, read again if somebody else closed a connection between the two scrapes: the next ones have both
    /// counted it.
    fn read_until_equal(&self, large: &Counts, small: &Counts) -> Result<[Counts; 2]> {
        let mut tries = 0;
        loop {
            let [now_large, now_small] = self.read()?;
            let counts = [now_large.since(large), now_small.since(small)];
            tries += 1;
            if tries == TRIES || counts[0].was_offered_the_same(&counts[1]) {
                return Ok(counts);
            }
        }
    }
}

impl Mixed {
    /// Every account is the same, and every cause is the scenario's, where the kernel shows every reset.
    pub fn is_exact(&self) -> Result<()> {
        if !self.all_shown {
            return Ok(());
        }
        let mut differences =
            tally::differences(&self.witnesses, &self.large, &self.small, self.verdicts.unmatched);
        differences.extend(self.verdicts.differences());
        ensure!(differences.is_empty(), "seed {}: {}", self.seed, differences.join("; "));
        Ok(())
    }

    /// It is the host's doing if the accounts differ: somebody else made resets meanwhile, or closed connections between the
    /// scrapes of the two tracers; or the machine was so busy that even the large ring was full.
    #[must_use]
    pub fn is_disturbed(&self) -> bool {
        self.others > 0 || self.large.overflowed() > 0 || !self.large.was_offered_the_same(&self.small)
    }
}

impl fmt::Display for Mixed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "{} connections in {:.1} s, seed {}, {} lines about others",
            self.connections, self.seconds, self.seed, self.others
        )?;
        write!(out, "{}", self.verdicts)?;
        writeln!(out, "witnesses   {}", self.witnesses)?;
        writeln!(out, "large ring  {}", self.large)?;
        writeln!(out, "small ring  {}", self.small)?;
        writeln!(out, "            {}", self.small_verdicts.summary())?;
        for mistake in self.small_verdicts.mistakes() {
            writeln!(out, "            {mistake}")?;
        }
        if !self.all_shown {
            writeln!(out, "this kernel hides resets: the accounts are not compared")?;
        }
        Ok(())
    }
}
