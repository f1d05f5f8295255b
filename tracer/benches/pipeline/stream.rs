//! A stream of records as a busy host has them, made from recordings of real connections.

use std::{
    fs,
    mem::{offset_of, size_of},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use tracer::sources::recording::{Header, Recording};
use tracer_common::Record;

/// Connections for each one that is reset; the others are closed in good order.
const ONE_RESET_IN: usize = 10;
/// Servers that the connections are spread over.
const SERVERS: usize = 20;
/// Between two connections: 100,000 of them in a second.
const SPACING_NS: u64 = 10_000;
/// When the first record came.
const START_NS: u64 = 3_600_000_000_000;
const AF_INET: u16 = 2;

/// Scenarios in which nobody sends a RST.
const GOOD_ORDER: [&str; 3] = ["client-closes", "server-closes", "user-timeout"];

/// A record, as it stands in the ring.
type Bytes = [u8; size_of::<Record>()];

/// What comes out of the ring, in order.
pub(crate) struct Stream {
    /// The machine that the recordings are from.
    pub(crate) header: Header,
    /// The records.
    pub(crate) records: Vec<Bytes>,
}

impl Stream {
    /// The records of `count` connections, each from a client of its own.
    pub(crate) fn of_connections(count: usize) -> Result<Self> {
        let (closes, resets): (Vec<_>, Vec<_>) =
            recordings()?.into_iter().partition(|recording| recording.closes_in_good_order);
        ensure!(!closes.is_empty() && resets.len() >= 30, "recordings are missing");
        let header = closes[0].header.clone();
        let mut records = Vec::new();
        for number in 0..count {
            let kinds = if number % ONE_RESET_IN == 0 { &resets } else { &closes };
            let kind = &kinds[number / ONE_RESET_IN % kinds.len()];
            for record in &kind.records {
                let since_first = at_ns(record) - at_ns(&kind.records[0]);
                let at_ns = START_NS + number as u64 * SPACING_NS + since_first;
                records.push(of_connection(number, at_ns, *record)?);
            }
        }
        records.sort_by_key(at_ns);
        Ok(Self { header, records })
    }
}

/// What was recorded of one connection.
struct Kind {
    header: Header,
    closes_in_good_order: bool,
    records: Vec<Bytes>,
}

/// The recordings of IPv4 connections.
fn recordings() -> Result<Vec<Kind>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/6.18");
    let files = fs::read_dir(directory).context("there are no recordings")?;
    let mut paths = files.map(|file| Ok(file?.path())).collect::<Result<Vec<PathBuf>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "rec"));
    paths.sort();
    let mut kinds = paths.iter().map(|path| read(path)).collect::<Result<Vec<_>>>()?;
    let is_ipv4 = |bytes: &Bytes| record(bytes).family == AF_INET;
    // What is ignored left none.
    kinds.retain(|kind| !kind.records.is_empty() && kind.records.iter().all(is_ipv4));
    Ok(kinds)
}

fn read(path: &Path) -> Result<Kind> {
    let mut recording = Recording::open(path)?;
    let mut records = Vec::new();
    while let Some(record) = recording.next_record()? {
        records.push(Bytes::try_from(record).context("it has request lines")?);
    }
    let closes_in_good_order =
        path.file_stem().is_some_and(|name| GOOD_ORDER.iter().any(|good_order| name == *good_order));
    Ok(Kind { header: recording.header, closes_in_good_order, records })
}

/// When the record was made.
pub(crate) fn at_ns(bytes: &Bytes) -> u64 {
    record(bytes).at_ns
}

fn record(bytes: &Bytes) -> Record {
    zerocopy::transmute!(*bytes)
}

/// The record as it would be of another connection: at another time, of one of the servers and a client of its own.
fn of_connection(number: usize, at_ns: u64, mut bytes: Bytes) -> Result<Bytes> {
    let record = record(&bytes);
    let (local, remote) = (offset_of!(Record, local_addr), offset_of!(Record, remote_addr));
    // Ports of clients are from the ephemeral range, above those of servers.
    let (server, client) =
        if record.local_port < record.remote_port { (local, remote) } else { (remote, local) };
    bytes[offset_of!(Record, at_ns)..][..size_of::<u64>()].copy_from_slice(&at_ns.to_ne_bytes());
    bytes[server + 3] = u8::try_from(number % SERVERS)?;
    // 10.x.y.z
    bytes[client + 1..client + 4].copy_from_slice(&u32::try_from(number)?.to_be_bytes()[1..]);
    Ok(bytes)
}
