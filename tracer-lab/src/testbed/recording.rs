//! What a tracer wrote down with `--record`: every record that it took from the ring, with its time and its namespace.
//!
//! A tracer counts for the whole host. A recording tells what others on the host added between two moments; what is
//! left must be one's own, to the last segment.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::mem::offset_of;
use std::ops::Range;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tracer_common::{KIND_RECEIVE_RESET, KIND_SEND_RESET, Record};

use crate::workspace;

/// States in which data for an orphan makes the kernel reset it, which its tracepoint calls a receive as well:
/// `FIN_WAIT1`, `FIN_WAIT2`, `LAST_ACK` and `CLOSING` (`include/net/tcp_states.h`).
const ORPHANS: [u8; 4] = [4, 5, 9, 11];
/// The RST that the orphan sends follows at once.
const AT_ONCE_NS: u64 = 1_000_000;

/// A recording, split into what it says of the machine and the records.
pub(crate) struct Parts<'a> {
    pub(crate) header: Value,
    /// Bytes of a record.
    pub(crate) size: usize,
    pub(crate) records: &'a [u8],
}

impl<'a> Parts<'a> {
    pub(crate) fn of(recording: &'a [u8]) -> Result<Self> {
        let end = recording.iter().position(|&byte| byte == b'\n').context("a recording without a header")?;
        let (header, size) = header(&recording[..end])?;
        Ok(Self { header, size, records: &recording[end + 1..] })
    }

    /// A recording with this header of those records that pass, by their namespace and their time.
    pub(crate) fn keep(&self, passes: impl Fn(u64, u64) -> bool) -> Result<Vec<u8>> {
        let mut kept = serde_json::to_vec(&self.header)?;
        kept.push(b'\n');
        for record in self.records.chunks_exact(self.size) {
            let netns = netns(record).context("a record without a namespace")?;
            let at_ns = at_ns(record).context("a record without a time")?;
            if passes(netns, at_ns) {
                kept.extend(record);
            }
        }
        Ok(kept)
    }
}

fn header(line: &[u8]) -> Result<(Value, usize)> {
    let header: Value = serde_json::from_slice(line)?;
    let size = header["record_bytes"].as_u64().context("a header without the size of records")?;
    let size = usize::try_from(size)?;
    ensure!(size > 0, "records of no bytes");
    Ok((header, size))
}

/// What the tracer makes of a recording: its events, a line of JSON each.
pub(crate) fn replay(recording: &Path, flags: &[&str]) -> Result<String> {
    let mut command = Command::new(workspace::daemon_under_test());
    command.arg("replay").arg(recording).args(["--events", "json"]).args(flags);
    let output = command.output().context("cannot run the tracer")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the recording cannot be replayed: {}", said.trim());
    Ok(String::from_utf8(output.stdout)?)
}

/// How many whole records are in the file so far.
pub(crate) fn length(file: &Path) -> Result<u64> {
    let mut line = Vec::new();
    let opened = File::open(file).with_context(|| format!("no recording {}", file.display()))?;
    let bytes = opened.metadata()?.len();
    BufReader::new(opened).read_until(b'\n', &mut line)?;
    let (_, size) = header(&line)?;
    Ok((bytes - line.len() as u64) / size as u64)
}

/// Records, in the order of the ring.
#[derive(Clone, Default)]
pub struct Recording(Vec<Entry>);

/// What is needed of a record.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Entry {
    at_ns: u64,
    netns: u64,
    kind: u32,
    state: u8,
    local_port: u16,
    remote_port: u16,
    /// A receive that was the kernel aborting an orphan.
    is_false: bool,
}

impl Entry {
    fn of(record: &[u8]) -> Option<Self> {
        Some(Self {
            at_ns: at_ns(record)?,
            netns: netns(record)?,
            kind: u32::from_ne_bytes(field(record, offset_of!(Record, kind))?),
            state: *record.get(offset_of!(Record, old_state))?,
            local_port: u16::from_ne_bytes(field(record, offset_of!(Record, local_port))?),
            remote_port: u16::from_ne_bytes(field(record, offset_of!(Record, remote_port))?),
            is_false: false,
        })
    }

    /// `sent` is the RST of the orphan that `self` calls a receive.
    fn is_explained_by(&self, sent: &Self) -> bool {
        let connection = |entry: &Self| (entry.netns, entry.local_port, entry.remote_port);
        sent.kind == KIND_SEND_RESET && connection(self) == connection(sent)
    }
}

/// The network namespace of a record.
fn netns(record: &[u8]) -> Option<u64> {
    field(record, offset_of!(Record, netns)).map(u32::from_ne_bytes).map(u64::from)
}

/// The time of a record.
fn at_ns(record: &[u8]) -> Option<u64> {
    field(record, offset_of!(Record, at_ns)).map(u64::from_ne_bytes)
}

fn field<const N: usize>(record: &[u8], at: usize) -> Option<[u8; N]> {
    record.get(at..at + N)?.try_into().ok()
}

impl Recording {
    /// Reads the file of a tracer that has ended.
    pub fn read(file: &Path) -> Result<Self> {
        let bytes = fs::read(file).with_context(|| format!("no recording {}", file.display()))?;
        let Parts { size, records, .. } = Parts::of(&bytes)?;
        let entries: Option<Vec<_>> = records.chunks_exact(size).map(Entry::of).collect();
        Ok(Self::new(entries.context("records that are too short")?))
    }

    fn new(mut entries: Vec<Entry>) -> Self {
        for at in 0..entries.len() {
            let receive = entries[at];
            let mut soon = entries[at + 1..]
                .iter()
                .take_while(|next| next.at_ns.saturating_sub(receive.at_ns) < AT_ONCE_NS);
            entries[at].is_false = receive.kind == KIND_RECEIVE_RESET
                && ORPHANS.contains(&receive.state)
                && soon.any(|next| receive.is_explained_by(next));
        }
        Self(entries)
    }

    /// What happened in this time, on the clock of the records, in these namespaces, and what elsewhere.
    #[must_use]
    pub fn within(&self, time_ns: &Range<u64>, netns: &[u64]) -> (Self, Self) {
        let within = self.0.iter().filter(|entry| time_ns.contains(&entry.at_ns));
        let (own, others): (Vec<_>, Vec<_>) = within.partition(|entry| netns.contains(&entry.netns));
        (Self(own), Self(others))
    }

    /// Number of records.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.0.len() as u64
    }

    /// Number of records of one kind.
    #[must_use]
    pub fn of_kind(&self, kind: u32) -> u64 {
        self.0.iter().filter(|entry| entry.kind == kind).count() as u64
    }

    /// RST segments sent.
    #[must_use]
    pub fn segments_sent(&self) -> u64 {
        self.of_kind(KIND_SEND_RESET)
    }

    /// RST segments that ended a socket.
    #[must_use]
    pub fn segments_received(&self) -> u64 {
        self.0.iter().filter(|entry| entry.kind == KIND_RECEIVE_RESET && !entry.is_false).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIN_WAIT2: u8 = 5;
    const ESTABLISHED: u8 = 1;

    fn entry(at_ns: u64, netns: u64, kind: u32, state: u8) -> Entry {
        Entry { at_ns, netns, kind, state, local_port: 8080, remote_port: 50_000, is_false: false }
    }

    #[track_caller]
    fn check(entries: &[Entry], sent_and_received: (u64, u64)) {
        let recording = Recording::new(entries.to_vec());
        assert_eq!((recording.segments_sent(), recording.segments_received()), sent_and_received);
    }

    #[test]
    fn an_orphan_that_is_reset_has_received_nothing() {
        let receive = entry(10, 1, KIND_RECEIVE_RESET, FIN_WAIT2);
        check(&[receive], (0, 1));
        check(&[receive, entry(20, 1, KIND_SEND_RESET, FIN_WAIT2)], (1, 0));
        // Another host's, and one that comes too late.
        check(&[receive, entry(20, 2, KIND_SEND_RESET, FIN_WAIT2)], (1, 1));
        check(&[receive, entry(2_000_000, 1, KIND_SEND_RESET, FIN_WAIT2)], (1, 1));
        let alive = entry(10, 1, KIND_RECEIVE_RESET, ESTABLISHED);
        check(&[alive, entry(20, 1, KIND_SEND_RESET, ESTABLISHED)], (1, 1));
    }
}
