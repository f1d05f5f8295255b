//! What everybody counted, and where they do not agree.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;

use anyhow::Result;
use tracer_common::KIND_CLOSE;

use crate::soak::kinds::OwnEnd;
use crate::soak::run::Completed;
use crate::testbed::capture::{RST, Segment};
use crate::testbed::checkpoint::{Checkpoint, Own};
use crate::testbed::network::Network;
use crate::testbed::recording::Recording;

/// What the kernels, the wire and the applications say.
#[derive(Default)]
pub(crate) struct Evidence {
    /// SNMP `OutRsts` of all hosts: RST segments sent (RFC 4022 counts IPv6 with IPv4).
    out_rsts: u64,
    /// SNMP `AttemptFails` and `EstabResets`: sockets that went to CLOSE from `SYN_SENT`, and from `ESTABLISHED` or
    /// `CLOSE_WAIT`. That is what a received RST does to a socket that nobody has closed yet, but an abrupt end by its
    /// own application, too.
    ended: u64,
    /// RST segments in the captures of the hosts that sent them.
    captured_sent: u64,
    /// Connections that a RST reached, in the captures of the hosts that received them. In every kind that is completed
    /// the first RST meets a live socket, and no later one does.
    captured_received: u64,
    /// Sockets in which the application found the error that a RST leaves.
    errors: u64,
    /// Sockets that were established when their own application ended them without a FIN.
    own_ends: u64,
    /// Sockets that had closed when a RST ended them.
    uncounted: u64,
}

impl Evidence {
    /// The kernels' counters as they are now.
    pub(crate) fn of_kernels(nets: &[Network]) -> Result<Self> {
        let mut evidence = Self::default();
        for host in nets.iter().flat_map(|net| [&net.server, &net.client]) {
            evidence.out_rsts += host.tcp_counter("OutRsts")?;
            evidence.ended += host.tcp_counter("AttemptFails")? + host.tcp_counter("EstabResets")?;
        }
        Ok(evidence)
    }

    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            out_rsts: self.out_rsts - before.out_rsts,
            ended: self.ended - before.ended,
            ..Self::default()
        }
    }

    pub(crate) fn with_applications(mut self, completed: &[Completed]) -> Self {
        for connection in completed {
            let errors = [connection.server.errno, connection.client.errno];
            self.errors += errors.iter().flatten().count() as u64;
            self.own_ends += u64::from(connection.kind.own_end != OwnEnd::Nobody);
            self.uncounted += u64::from(connection.kind.uncounted);
        }
        self
    }

    /// Adds what the host with the address `own` captured.
    pub(crate) fn add_capture(&mut self, own: IpAddr, segments: &[Segment]) {
        let resets = || segments.iter().filter(|segment| segment.has(RST));
        self.captured_sent += resets().filter(|reset| reset.source.ip() == own).count() as u64;
        let received = resets().filter(|reset| reset.destination.ip() == own);
        let reached: HashSet<_> = received.map(|reset| (reset.source, reset.destination)).collect();
        self.captured_received += reached.len() as u64;
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { out_rsts, ended, captured_sent, captured_received, errors, own_ends, uncounted } = self;
        write!(out, "sent: {out_rsts} OutRsts, {captured_sent} captured; ")?;
        write!(
            out,
            "received: {ended} AttemptFails and EstabResets less {own_ends} own ends and with {uncounted} closed before, "
        )?;
        write!(out, "{captured_received} captured, {errors} errors")
    }
}

/// What one tracer has counted and printed of the soak, while others on the host went on.
pub(crate) struct Counts {
    own: Own,
    /// Records that were due to it.
    due: Recording,
    /// By the metric and in the lines; others' resets are among them.
    unmatched: [u64; 2],
    lines_lost: u64,
    /// RST segments of others.
    pub(crate) others: u64,
}

impl Counts {
    /// What a tracer that took the records `taken` counted between two moments, where a reference lost nothing.
    pub(crate) fn between(
        [before, after]: &[Checkpoint; 2],
        netns: &[u64],
        reference: &Recording,
        taken: &Recording,
    ) -> Result<Self> {
        let (due, others) = reference.within(&(before.at_ns..after.at_ns), netns);
        let unmatched = |checkpoint: &Checkpoint| checkpoint.scrape.sum("tracer_resets_unmatched_total", &[]);
        let unmatched_lines =
            |checkpoint: &Checkpoint| checkpoint.printed.map_or(0, |printed| printed.unmatched);
        Ok(Self {
            own: Own::between(before, after, netns, reference, taken)?,
            due,
            unmatched: [
                unmatched(after)? - unmatched(before)?,
                unmatched_lines(after) - unmatched_lines(before),
            ],
            lines_lost: after.lines_lost()? - before.lines_lost()?,
            others: others.segments_sent() + others.segments_received(),
        })
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Own { segments_sent, segments_received, taken, lost, skipped } = self.own;
        write!(
            out,
            "{segments_sent} RST segments sent, {segments_received} received, {} of others; ",
            self.others
        )?;
        write!(out, "{} records due, {taken} taken, {lost} lost, {skipped} runs skipped", self.due.records())
    }
}

/// Where the counts differ, in words.
pub(crate) fn differences(seen: &Evidence, large: &Counts, small: &Counts) -> Vec<String> {
    let received = seen.errors;
    let pairs = [
        ("RST segments sent, captured and OutRsts", seen.captured_sent, seen.out_rsts),
        ("connections that a RST reached, captured and by their errors", seen.captured_received, received),
        (
            "AttemptFails and EstabResets, and errors with own ends",
            seen.ended,
            received + seen.own_ends - seen.uncounted,
        ),
        ("segments sent, of the large ring and captured", large.own.segments_sent, seen.captured_sent),
        ("segments sent, of the small ring and captured", small.own.segments_sent, seen.captured_sent),
        ("segments received, of the large ring and by errors", large.own.segments_received, received),
        ("segments received, of the small ring and by errors", small.own.segments_received, received),
        // A step to CLOSE is worth a record where the application makes it without a FIN.
        ("records of a close, and own ends", large.due.of_kind(KIND_CLOSE), seen.own_ends),
        (
            "unmatched resets of the large ring, by the metric and in the lines",
            large.unmatched[0],
            large.unmatched[1],
        ),
        (
            "unmatched resets of the small ring, by the metric and in the lines",
            small.unmatched[0],
            small.unmatched[1],
        ),
        ("records that the large ring lost", large.own.lost, 0),
        ("lines that the tracer with the large ring lost", large.lines_lost, 0),
        ("lines that the tracer with the small ring lost", small.lines_lost, 0),
    ];
    let mut differences: Vec<_> = pairs
        .into_iter()
        .filter(|(_, one, other)| one != other)
        .map(|(what, one, other)| format!("{what}: {one} ≠ {other}"))
        .collect();
    // What the reference itself skipped is missing from its records.
    let (due, sent) = (large.due.records(), large.due.segments_sent());
    if sent.abs_diff(seen.captured_sent) > large.own.skipped {
        differences.push(format!("records of a segment sent, and captured: {sent} ≠ {}", seen.captured_sent));
    }
    if !(due..=due + large.own.skipped).any(|due| small.own.accounts_for(due)) {
        let Own { taken, lost, .. } = small.own;
        differences.push(format!("records of the small ring: {taken} taken and {lost} lost ≠ {due} due"));
    }
    if small.own.lost == 0 {
        differences.push("the small ring was never full".to_owned());
    }
    differences
}
