//! What everybody counted, and where they do not agree.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;

use anyhow::Result;

use crate::soak::kinds::OwnEnd;
use crate::soak::run::Played;
use crate::testbed::capture::{RST, Segment};
use crate::testbed::daemon::Tracer;
use crate::testbed::network::Net;
use crate::testbed::scrape::Scrape;

/// What the kernels, the wire and the applications say.
#[derive(Default)]
pub(crate) struct Witnesses {
    /// SNMP `OutRsts` of all hosts: RST segments sent (RFC 4022 counts IPv6 with IPv4).
    out_rsts: u64,
    /// SNMP `AttemptFails` and `EstabResets`: sockets that went to CLOSE from `SYN_SENT`, and from `ESTABLISHED` or `CLOSE_WAIT`.
    /// That is what a received RST does to a socket that nobody has closed yet, but an abrupt end by its own application, too.
    ended: u64,
    /// RST segments in the captures of the hosts that sent them.
    captured_sent: u64,
    /// Connections that a RST reached, in the captures of the hosts that received them. In every kind that is played the first
    /// RST meets a live socket, and no later one does.
    captured_received: u64,
    /// Sockets in which the application found the error that a RST leaves.
    errors: u64,
    /// Sockets that were established when their own application ended them without a FIN.
    own_ends: u64,
}

impl Witnesses {
    /// The kernels' counters as they are now.
    pub(crate) fn of_kernels(nets: &[Net]) -> Result<Self> {
        let mut witnesses = Self::default();
        for host in nets.iter().flat_map(|net| [&net.server, &net.client]) {
            witnesses.out_rsts += host.tcp_counter("OutRsts")?;
            witnesses.ended += host.tcp_counter("AttemptFails")? + host.tcp_counter("EstabResets")?;
        }
        Ok(witnesses)
    }

    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            out_rsts: self.out_rsts - before.out_rsts,
            ended: self.ended - before.ended,
            ..Self::default()
        }
    }

    pub(crate) fn with_applications(mut self, played: &[Played]) -> Self {
        for connection in played {
            let errors = [connection.server.errno, connection.client.errno];
            self.errors += errors.iter().flatten().count() as u64;
            self.own_ends += u64::from(connection.kind.own_end != OwnEnd::Nobody);
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

impl fmt::Display for Witnesses {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { out_rsts, ended, captured_sent, captured_received, errors, own_ends } = self;
        write!(out, "sent: {out_rsts} OutRsts, {captured_sent} captured; ")?;
        write!(out, "received: {ended} AttemptFails and EstabResets less {own_ends} own ends, ")?;
        write!(out, "{captured_received} captured, {errors} errors")
    }
}

/// What one tracer has counted and printed.
pub(crate) struct Counts {
    segments_sent: u64,
    segments_received: u64,
    resets_sent: u64,
    resets_received: u64,
    unmatched: u64,
    events: u64,
    send_reset_events: u64,
    fin_events: u64,
    close_events: u64,
    receive_reset_events: u64,
    events_lost: u64,
    lines_lost: u64,
    lines: u64,
    /// Runs of its programs that the kernel skipped, whatever they would have made of it.
    skipped: u64,
}

impl Counts {
    /// The counts as they are now; the lines are those about all namespaces.
    pub(crate) fn read(tracer: &Tracer, netns: &[u64]) -> Result<Self> {
        let scrape = Scrape(tracer.metrics()?);
        let (of_mix, of_others) = tracer.told(netns);
        let events = |event: &str| scrape.value(&format!("tracer_events_total{{event=\"{event}\"}}"));
        Ok(Self {
            segments_sent: scrape.value("tracer_rst_segments_sent_total")?,
            segments_received: scrape.value("tracer_rst_segments_received_total")?,
            resets_sent: scrape.sum("tracer_resets_sent_total", &[])?,
            resets_received: scrape.sum("tracer_resets_received_total", &[])?,
            unmatched: scrape.sum("tracer_resets_unmatched_total", &[])?,
            events: scrape.sum("tracer_events_total", &[])?,
            send_reset_events: events("send_reset")?,
            fin_events: events("fin")?,
            close_events: events("close")?,
            receive_reset_events: events("receive_reset")?,
            events_lost: scrape.value("tracer_events_lost_total{buffer=\"events\"}")?,
            lines_lost: scrape.value("tracer_events_lost_total{buffer=\"stdout\"}")?,
            lines: (of_mix + of_others) as u64,
            skipped: tracer.skipped_runs()?,
        })
    }

    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            segments_sent: self.segments_sent - before.segments_sent,
            segments_received: self.segments_received - before.segments_received,
            resets_sent: self.resets_sent - before.resets_sent,
            resets_received: self.resets_received - before.resets_received,
            unmatched: self.unmatched - before.unmatched,
            events: self.events - before.events,
            send_reset_events: self.send_reset_events - before.send_reset_events,
            fin_events: self.fin_events - before.fin_events,
            close_events: self.close_events - before.close_events,
            receive_reset_events: self.receive_reset_events - before.receive_reset_events,
            events_lost: self.events_lost - before.events_lost,
            lines_lost: self.lines_lost - before.lines_lost,
            lines: self.lines - before.lines,
            skipped: self.skipped - before.skipped,
        }
    }

    /// Records that the kernel side made for this tracer, whether or not the ring had room for them. The tracer counts skipped
    /// runs as lost, too, although not each would have made a record.
    pub(crate) fn offered(&self) -> u64 {
        self.events + self.overflowed()
    }

    /// Records that found the ring full.
    pub(crate) fn overflowed(&self) -> u64 {
        self.events_lost.saturating_sub(self.skipped)
    }

    /// Both tracers were offered the same records, but for those that skipped runs would have made.
    pub(crate) fn was_offered_the_same(&self, other: &Self) -> bool {
        let (own, others) = (self.offered(), other.offered());
        own <= others + other.skipped && others <= own + self.skipped
    }

    fn incidents(&self) -> u64 {
        self.resets_sent + self.resets_received
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} RST segments sent, {} received; ", self.segments_sent, self.segments_received)?;
        write!(out, "{} resets sent, {} received, ", self.resets_sent, self.resets_received)?;
        write!(out, "{} of them unmatched, {} lines; ", self.unmatched, self.lines)?;
        write!(out, "{} events ({} send_reset, ", self.events, self.send_reset_events)?;
        write!(out, "{} receive_reset, {} fin, ", self.receive_reset_events, self.fin_events)?;
        write!(out, "{} close), {} lost, ", self.close_events, self.events_lost)?;
        write!(out, "{} runs skipped", self.skipped)
    }
}

/// Where the accounts differ, in words.
pub(crate) fn differences(seen: &Witnesses, large: &Counts, small: &Counts, unmatched: u64) -> Vec<String> {
    let received = seen.errors;
    let pairs = [
        ("RST segments sent, captured and OutRsts", seen.captured_sent, seen.out_rsts),
        ("connections that a RST reached, captured and by their errors", seen.captured_received, received),
        ("AttemptFails and EstabResets, and errors with own ends", seen.ended, received + seen.own_ends),
        ("segments sent, of the large ring and captured", large.segments_sent, seen.captured_sent),
        ("segments sent, of the small ring and captured", small.segments_sent, seen.captured_sent),
        ("segments received, of the large ring and by errors", large.segments_received, received),
        ("segments received, of the small ring and by errors", small.segments_received, received),
        ("resets and lines of the large ring", large.incidents(), large.lines),
        ("resets and lines of the small ring", small.incidents(), small.lines),
        // A step to CLOSE is worth a record where the application makes it without a FIN.
        ("events of a close, and own ends", large.close_events, seen.own_ends),
        ("unmatched resets of the large ring, by the metric and in the lines", large.unmatched, unmatched),
        ("events that the large ring lost", large.overflowed(), 0),
        ("lines that the tracer with the large ring lost", large.lines_lost, 0),
        ("lines that the tracer with the small ring lost", small.lines_lost, 0),
        ("events of a segment sent, and segments sent", large.send_reset_events, large.segments_sent),
    ];
    let mut differences: Vec<_> = pairs
        .into_iter()
        .filter(|(_, one, other)| one != other)
        .map(|(what, one, other)| format!("{what}: {one} ≠ {other}"))
        .collect();
    if !large.was_offered_the_same(small) {
        let (large, small) = (large.offered(), small.offered());
        differences.push(format!("events of both rings with what they lost: {large} ≠ {small}"));
    }
    if small.overflowed() == 0 {
        differences.push("the small ring was never full".to_owned());
    }
    differences
}
