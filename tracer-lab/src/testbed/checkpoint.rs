//! What a tracer has counted at a moment: exact although others on the host go on.

use std::path::Path;

use anyhow::{Context as _, Result};
use nix::time::{ClockId, clock_gettime};

use crate::testbed::lines::Printed;
use crate::testbed::recording;
use crate::testbed::recording::Recording;
use crate::testbed::scrape::Scrape;
use crate::testbed::wait::until;

/// A tracer with `--record`, as it can be asked from outside.
#[derive(Clone, Copy)]
pub struct Recorded<'a> {
    /// Where it serves HTTP.
    pub port: u16,
    /// What it writes.
    pub recording: &'a Path,
}

/// A moment at which the tracer counted no segment, and what it had counted until then.
pub struct Checkpoint {
    /// On the clock of the records.
    pub(crate) at_ns: u64,
    pub(crate) scrape: Scrape,
    pub(crate) printed: Option<Printed>,
}

impl Recorded<'_> {
    /// Waits for a moment at which every record taken is counted and written down, and every incident is counted
    /// and `printed`, or its line lost; where nothing is printed, incidents are not compared. Two scrapes say the same
    /// of segments: so it was between them.
    pub fn checkpoint(&self, printed: impl Fn() -> Option<Printed>) -> Result<Checkpoint> {
        let mut differences = String::new();
        let agreed = until("a moment of agreement", || {
            let (written, printed) = (recording::length(self.recording)?, printed());
            // As soon as possible one after the other: others must leave a gap.
            let scrape = Scrape::take(self.port)?;
            let at_ns = now_ns()?;
            let segments_then = segments_of(&Scrape::take(self.port)?)?;
            let checkpoint = Checkpoint { at_ns, scrape, printed };
            let (taken, incidents) =
                (checkpoint.scrape.sum("tracer_events_total", &[])?, checkpoint.incidents()?);
            let (segments, lines_lost) = (checkpoint.segments()?, checkpoint.lines_lost()?);
            let reported = printed.map_or(incidents, |printed| printed.lines + lines_lost);
            differences = format!(
                "{taken} records are counted and {written} written, {incidents} incidents counted and {reported} reported; \
                 segments and losses {segments:?}, then {segments_then:?}"
            );
            let agree = (taken, incidents, segments) == (written, reported, segments_then);
            Ok(agree.then_some(checkpoint))
        });
        agreed.with_context(|| differences)
    }
}

impl Checkpoint {
    fn segments(&self) -> Result<[u64; 3]> {
        segments_of(&self.scrape)
    }

    /// Records that found the ring full since the tracer started.
    pub fn overflowed(&self) -> Result<u64> {
        let [_, _, lost] = self.segments()?;
        Ok(lost)
    }

    /// Runs that the kernel skipped, because the program was running on that CPU already: an interrupt in the middle of
    /// it (`__bpf_trace_run`, `kernel/trace/bpf_trace.c`).
    fn skipped(&self) -> Result<u64> {
        self.scrape.sum("tracer_probe_misses_total", &[])
    }

    /// Lines that were too many for whoever reads them.
    pub(crate) fn lines_lost(&self) -> Result<u64> {
        self.scrape.value("tracer_events_lost_total{buffer=\"stdout\"}")
    }

    /// Incidents: resets, and what failed without one.
    pub(crate) fn incidents(&self) -> Result<u64> {
        let sum = |family, labels: &[&str]| self.scrape.sum(family, labels);
        let resets = sum("tracer_resets_sent_total", &[])? + sum("tracer_resets_received_total", &[])?;
        let by_reset = sum("tracer_failures_total", &["ended_by=\"rst\""])?;
        Ok(resets + sum("tracer_failures_total", &[])? - by_reset)
    }
}

/// RST segments sent and received, and records lost: counted where they happen, whatever the tracer has read.
fn segments_of(scrape: &Scrape) -> Result<[u64; 3]> {
    Ok([
        scrape.value("tracer_rst_segments_sent_total")?,
        scrape.value("tracer_rst_segments_received_total")?,
        scrape.value("tracer_events_lost_total{buffer=\"events\"}")?,
    ])
}

/// What a tracer counted from one moment to another, less what others did meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own {
    /// RST segments sent.
    pub segments_sent: u64,
    /// RST segments that ended a socket.
    pub segments_received: u64,
    /// Records that it took from the ring.
    pub taken: u64,
    /// Records that found the ring full.
    pub lost: u64,
    /// Runs that the kernel skipped, even those that would have made no record.
    pub skipped: u64,
}

impl Own {
    /// What happened in the namespaces `netns`, of a tracer that took the records `taken`. What others did is what the
    /// reference saw: a tracer that lost nothing.
    pub fn between(
        before: &Checkpoint,
        after: &Checkpoint,
        netns: &[u64],
        reference: &Recording,
        taken: &Recording,
    ) -> Result<Self> {
        let [sent_before, received_before, lost_before] = before.segments()?;
        let [sent, received, lost] = after.segments()?;
        let time_ns = before.at_ns..after.at_ns;
        let (_, others) = reference.within(&time_ns, netns);
        let (own, others_taken) = taken.within(&time_ns, netns);
        let others_lost = others.records().saturating_sub(others_taken.records());
        Ok(Self {
            segments_sent: (sent - sent_before).saturating_sub(others.segments_sent()),
            segments_received: (received - received_before).saturating_sub(others.segments_received()),
            taken: own.records(),
            lost: (lost - lost_before).saturating_sub(others_lost),
            skipped: after.skipped()? - before.skipped()?,
        })
    }

    /// All of `due` records were taken, lost or skipped.
    #[must_use]
    pub fn accounts_for(&self, due: u64) -> bool {
        let all = self.taken + self.lost;
        (all..=all + self.skipped).contains(&due)
    }
}

/// The kernel's monotonic clock.
pub(crate) fn now_ns() -> Result<u64> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    Ok(u64::try_from(now.tv_sec())? * 1_000_000_000 + u64::try_from(now.tv_nsec())?)
}
