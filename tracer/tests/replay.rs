//! Recordings of real resets, replayed: what the tracer says of them needs neither root nor the kernel they are from.
//!
//! `cargo xtask lab --record tracer/tests/fixtures` makes those of the machine's own kernel, `cargo xtask vm --record
//! tracer/tests/fixtures` those of the others, each checked against the wire. A line may get more fields, but none that
//! it has may change.

use std::{
    env, fs,
    mem::offset_of,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Map, Value};
use tracer_common::{FLAG_SEGMENT, KIND_SEND_RESET, Record, SOCKET_FULL};
use zerocopy::IntoBytes as _;

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

/// A recording in which a server closed an idle connection.
const IDLE_CLOSE: &str = "tests/fixtures/6.18/server-closes.rec";

/// The records of [`IDLE_CLOSE`], each time from another client 10 s later: enough closes at one age for a timeout.
fn many_idle_closes() -> Result<Vec<u8>> {
    const TIMES: u16 = 20;
    let bytes = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(IDLE_CLOSE))?;
    let end = bytes.iter().position(|&byte| byte == b'\n').context("a recording has a header")?;
    let mut header: Value = serde_json::from_slice(&bytes[..end])?;
    let size = header["record_bytes"].as_u64().context("a header has the size of records")?;
    header["record_bytes"] = size_of::<Record>().into();
    let mut recording = format!("{header}\n").into_bytes();
    for time in 0..TIMES {
        for record in bytes[end + 1..].chunks_exact(usize::try_from(size)?) {
            let mut whole = [0; size_of::<Record>()];
            whole[..record.len()].copy_from_slice(record);
            let mut record: Record = zerocopy::transmute!(whole);
            for at in [&mut record.at_ns, &mut record.sent_ns, &mut record.read_ns] {
                *at += u64::from(time) * 10_000_000_000;
            }
            *(&mut record.local_port).max(&mut record.remote_port) += time;
            recording.extend(record.as_bytes());
        }
    }
    Ok(recording)
}

/// What `tracer replay` prints of them.
fn replay_idle_closes(name: &str, flags: &[&str]) -> Result<String> {
    let file = env::temp_dir().join(format!("tracer-{name}-{}.rec", std::process::id()));
    fs::write(&file, many_idle_closes()?)?;
    let output = Command::new(env!("CARGO_BIN_EXE_tracer")).arg("replay").arg(&file).args(flags).output();
    fs::remove_file(&file)?;
    let output = output?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn timeouts_and_advice_come_at_the_end() -> Result<()> {
    let text = replay_idle_closes("text", &[])?;
    let timeouts: Vec<_> = text.lines().filter(|line| line.starts_with("timeout: ")).collect();
    ensure!(
        !timeouts.is_empty() && text.lines().any(|line| line.starts_with("advice: notice, since ")),
        "{text}"
    );
    ensure!(timeouts.iter().all(|line| line.contains("closes idle connections after ")), "{text}");

    let json = lines(&replay_idle_closes("json", &["--events", "json"])?)?;
    let of = |name| json.iter().filter_map(move |line| line.get(name));
    ensure!(of("timeout").count() == timeouts.len(), "{json:?}");
    for timeout in of("timeout") {
        ensure!(timeout["keepalive_timeout_samples"].as_u64() >= Some(5), "{timeout}");
    }
    for advice in of("advice") {
        ensure!(advice["kind"] == "server_closes_first" && advice["text"].is_string(), "{advice}");
    }
    Ok(())
}

#[test]
fn metrics_are_printed_when_asked_for() -> Result<()> {
    let text = replay_idle_closes("metrics", &["--events", "off", "--metrics"])?;
    for series in ["tracer_idle_close_seconds_count{", "tracer_keepalive_timeout_seconds{", "tracer_advice{"]
    {
        ensure!(text.lines().any(|line| line.starts_with(series)), "no {series} in {text}");
    }
    ensure!(text.lines().all(|line| line.starts_with("# ") || line.starts_with("tracer_")), "{text}");
    Ok(())
}
