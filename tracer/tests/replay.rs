//! Recordings of real resets, replayed: what the tracer says of them needs neither root nor the kernel they are from.
//!
//! `cargo xtask lab --record tracer/tests/fixtures` makes those of the machine's own kernel, `cargo xtask vm --record
//! tracer/tests/fixtures` those of the others, each checked against the wire. A line may get more fields, but none that it has may
//! change.

use std::{
    env, fs,
    mem::offset_of,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Map, Value};
use tracer_common::{FLAG_SEGMENT, KIND_SEND_RESET, Record, SOCKET_FULL};

/// What the lab's tracer was told when it recorded.
const RACE_WINDOW: &str = "100ms";

/// Before and after each change in what kernels show of a reset.
const KERNELS: [&str; 5] = ["5.10", "6.1", "6.12", "6.18", "7.2"];

/// All that the lab records, less what a kernel cannot do.
const AT_LEAST: usize = 45;

#[test]
fn recordings_are_explained_as_they_were_live() -> Result<()> {
    let mut differences = Vec::new();
    for kernel in KERNELS {
        let recordings = recordings(kernel)?;
        ensure!(recordings.len() >= AT_LEAST, "there are only {} recordings of {kernel}", recordings.len());
        let wrong = recordings.iter().filter_map(|recording| check(recording).err());
        differences.extend(wrong.map(|error| format!("{kernel}: {error:#}")));
    }
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    Ok(())
}

/// The recordings of a kernel.
fn recordings(kernel: &str) -> Result<Vec<PathBuf>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(kernel);
    let mut recordings = Vec::new();
    for file in directory.read_dir().with_context(|| format!("there are no recordings of {kernel}"))? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "rec") {
            recordings.push(path);
        }
    }
    recordings.sort();
    Ok(recordings)
}

fn check(recording: &Path) -> Result<()> {
    let name = recording.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let expected = lines(&fs::read_to_string(recording.with_extension("ndjson"))?)?;
    let said = replay(recording).with_context(|| name.clone())?;
    ensure!(said.len() == expected.len(), "{name}: {} lines, not {}", said.len(), expected.len());
    for (said, expected) in said.iter().zip(&expected) {
        for (field, value) in expected {
            let found = said.get(field).unwrap_or(&Value::Null);
            ensure!(found == value, "{name}: {field} is {found}, not {value}");
        }
    }
    Ok(())
}

fn replay(recording: &Path) -> Result<Vec<Map<String, Value>>> {
    let output = Command::new(env!("CARGO_BIN_EXE_tracer"))
        .arg("replay")
        .arg(recording)
        .args(["--events", "json", "--race-window", RACE_WINDOW])
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    lines(&String::from_utf8(output.stdout)?)
}

fn lines(text: &str) -> Result<Vec<Map<String, Value>>> {
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// What `tracer replay` says of the first recording of 6.18 that `change` changes.
fn replay_changed(name: &str, change: impl Fn(&mut Value, &mut [u8]) -> bool) -> Result<Output> {
    for recording in recordings("6.18")? {
        let bytes = fs::read(recording)?;
        let end = bytes.iter().position(|&byte| byte == b'\n').context("a recording has a header")?;
        let (mut header, mut records) = (serde_json::from_slice(&bytes[..end])?, bytes[end + 1..].to_vec());
        if !change(&mut header, &mut records) {
            continue;
        }
        let file = env::temp_dir().join(format!("tracer-{name}-{}.rec", std::process::id()));
        fs::write(&file, [header.to_string().as_bytes(), b"\n", &records].concat())?;
        let output = Command::new(env!("CARGO_BIN_EXE_tracer")).arg("replay").arg(&file).output();
        fs::remove_file(&file)?;
        return Ok(output?);
    }
    bail!("no recording is like that")
}

#[test]
fn a_passive_reset_without_a_segment_is_counted_and_ends_in_failure() -> Result<()> {
    let output = replay_changed("no-segment", |header, records| {
        let size = header["record_bytes"].as_u64().and_then(|size| usize::try_from(size).ok());
        let mut records = records.chunks_exact_mut(size.unwrap_or(1));
        let passive = records.find(|record| {
            record[offset_of!(Record, kind)..].starts_with(&KIND_SEND_RESET.to_ne_bytes())
                && record[offset_of!(Record, socket)] != SOCKET_FULL
        });
        passive.is_some_and(|record| {
            let flags = &mut record[offset_of!(Record, flags)..][..2];
            let without = u16::from_ne_bytes([flags[0], flags[1]]) & !FLAG_SEGMENT;
            flags.copy_from_slice(&without.to_ne_bytes());
            true
        })
    })?;
    let sentence = String::from_utf8(output.stderr)?;
    ensure!(!output.status.success(), "{sentence}");
    ensure!(sentence.contains("1 records of the recording make no sense"), "{sentence}");
    Ok(())
}

#[test]
fn a_tick_that_no_kernel_has_is_refused_with_a_sentence() -> Result<()> {
    for jiffy_ns in [0, 999_999, 10_000_001, u64::MAX] {
        let output = replay_changed(&format!("tick-{jiffy_ns}"), |header, _| {
            header["jiffy_ns"] = jiffy_ns.into();
            true
        })?;
        let sentence = String::from_utf8(output.stderr)?;
        ensure!(output.status.code() == Some(1), "{:?}: {sentence}", output.status);
        ensure!(sentence.contains(&format!("no kernel has a tick of {jiffy_ns} ns")), "{sentence}");
    }
    Ok(())
}
