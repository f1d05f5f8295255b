//! Recordings of real resets, replayed: what the tracer says of them needs neither root nor the kernel they are from.
//!
//! `cargo xtask lab --record tracer/tests/fixtures` makes those of the machine's own kernel, `cargo xtask vm --record
//! tracer/tests/fixtures` those of the others, each checked against the wire. A line may get more fields, but none that it has may
//! change.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value};

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
