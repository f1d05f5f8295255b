//! What the fuzzer begins with: requests, and what the lab recorded.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tracer_common::{METHODS, RecordWithLine};

use crate::workspace;

/// What follows the method.
const TARGETS: [&str; 6] = [
    "/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "/path?query#fragment HTTP/1.0\r\n\r\n",
    "/caf\u{e9}/\u{1b}[31m HTTP/1.1\r\n\r\n",
    "* HTTP/1.1\r\n\r\n",
    "http://user:secret@example.com/path HTTP/1.1\r\n\r\n",
    // Longer than what is kept, and without an end within what is looked at.
    "/a/path/of/which/only/the/first/part/is/kept/and/more/of/it/and/yet/more/until/nobody/looks/any/more/at/what/comes",
];

/// Each method with each target.
pub(super) fn requests() -> Vec<Vec<u8>> {
    let with = |target: &'static str| METHODS.map(|method| [method, target.as_bytes()].concat());
    TARGETS.into_iter().flat_map(with).collect()
}

/// Bytes that stand before the records: see `Options` in `fuzz/fuzz_targets/records.rs`. Zeroes are the defaults.
pub(super) const OPTIONS: usize = 8;

/// The records of the lab's resets behind default options, each as long as it is today.
pub(super) fn recordings() -> Result<Vec<Vec<u8>>> {
    let fixtures = workspace::root().join("tracer/tests/fixtures");
    let mut recordings = Vec::new();
    for kernel in files(&fixtures)? {
        for file in files(&kernel)?.iter().filter(|file| file.extension().is_some_and(|end| end == "rec")) {
            recordings.push(records(file).with_context(|| format!("cannot read {}", file.display()))?);
        }
    }
    Ok(recordings)
}

fn records(recording: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(recording)?;
    let end = bytes.iter().position(|&byte| byte == b'\n').context("it has no header")?;
    let recorded = record_bytes(&String::from_utf8_lossy(&bytes[..end]));
    let recorded = recorded.context("its header names no size of a record")?;
    let mut records = vec![0; OPTIONS];
    for record in bytes[end + 1..].chunks(recorded.max(1)) {
        let whole = records.len() + size_of::<RecordWithLine>();
        records.extend_from_slice(record);
        // A request line of zeroes is none.
        records.resize(whole, 0);
    }
    Ok(records)
}

/// Of a recording's header, a JSON object.
fn record_bytes(header: &str) -> Option<usize> {
    let (_, rest) = header.split_once("\"record_bytes\":")?;
    rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

/// What a directory holds, in order.
pub(super) fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = || format!("cannot list {}", directory.display());
    let entries = fs::read_dir(directory).with_context(unreadable)?;
    let mut files: Vec<_> =
        entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>().with_context(unreadable)?;
    files.sort();
    Ok(files)
}
