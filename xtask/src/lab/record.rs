//! Recordings of scenarios, one file each, for tests of the tracer that need no kernel.
//!
//! Each scenario is played under a tracer of its own that records, and must be right. What is kept are the records of the
//! scenario's own hosts, and what `tracer replay` makes of them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use super::case::Case;
use super::event::Reset;
use super::tracer::{RACE_WINDOW, Tracer};
use super::wait::let_pass;
use crate::workspace;

/// After this long a tracer knows that a connection it has not seen was not closed before it started.
const MOMENT: Duration = Duration::from_millis(1100);
/// Where a record has the number of its network namespace, in the machine's byte order.
const NETNS: std::ops::Range<usize> = 60..64;

/// Records `cases` into `directory`: `<case>.rec` with what the kernel said, `<case>.ndjson` with what is right to say of it.
pub(super) fn record(cases: &[Case], directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    // One after the other: the number of a namespace that is gone comes again at once.
    for case in cases {
        record_case(case, directory).with_context(|| format!("{} is not recorded", case.name()))?;
        println!("{:<18} recorded", case.name());
    }
    Ok(())
}

fn record_case(case: &Case, directory: &Path) -> Result<()> {
    let scratch = TempDir::new().context("no temporary directory for the recording")?;
    let all = scratch.path().join("all");
    let flag = all.to_str().context("a temporary directory with a strange name")?;
    let tracer = Tracer::start_with(&["--race-window", RACE_WINDOW, "--record", flag])?;
    let_pass(MOMENT);
    let outcome = case.run(Some(&tracer), None);
    let told = tracer.resets(&outcome.netns, 0);
    tracer.stop()?;
    ensure!(outcome.is_ok(), "not as expected:\n{outcome}");

    let file = directory.join(case.name().replace('/', "-"));
    let recording = file.with_extension("rec");
    fs::write(&recording, cut(&fs::read(&all)?, &outcome.netns)?)?;
    let lines = replay(&recording)?;
    let replayed = lines.lines().map(Reset::parse).collect::<Result<Vec<_>>>()?;
    ensure!(
        replayed.len() == told.len() && told.iter().all(|reset| replayed.contains(reset)),
        "the tracer said {told:?}, its replay {replayed:?}"
    );
    Ok(fs::write(file.with_extension("ndjson"), lines)?)
}

/// The header and the records of these namespaces.
fn cut(recording: &[u8], netns: &[u64]) -> Result<Vec<u8>> {
    let end = recording.iter().position(|&byte| byte == b'\n').context("a recording without a header")?;
    let (header, records) = recording.split_at(end + 1);
    let mut header: Value = serde_json::from_slice(header)?;
    let size = header["record_bytes"].as_u64().context("a header without the size of records")?;
    // Which machine it was is nobody's business; the version is.
    let release = header["kernel"].as_str().context("a header without the kernel's release")?;
    header["kernel"] = release.split('.').take(2).collect::<Vec<_>>().join(".").into();
    let mut kept = serde_json::to_vec(&header)?;
    kept.push(b'\n');
    for record in records.chunks_exact(usize::try_from(size)?) {
        let number = record.get(NETNS).and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes);
        if netns.contains(&number.context("a record without a namespace")?.into()) {
            kept.extend(record);
        }
    }
    Ok(kept)
}

/// What the tracer makes of a recording.
fn replay(recording: &Path) -> Result<String> {
    let output = Command::new(workspace::daemon_under_test())
        .arg("replay")
        .arg(recording)
        .args(["--events", "json", "--race-window", RACE_WINDOW])
        .output()?;
    if !output.status.success() {
        bail!("the recording cannot be replayed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}
