//! What an event costs in user space: time by criterion, instructions by callgrind.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::bench::report::table;
use crate::testbed::process;
use crate::workspace;

/// The function that is counted; what prepares the stream is not.
const COUNTED: &str = "*pass_through*";

/// Both.
pub(crate) fn measure() -> Result<String> {
    let bench = build()?;
    let [low, median, high] = nanoseconds_per_event(&bench)?;
    let per_second = |nanoseconds: f64| 1e3 / nanoseconds;
    let rows = [
        (
            "events per second on one core",
            format!("{:.2} M ({:.2}–{:.2})", per_second(median), per_second(high), per_second(low)),
            "2 M",
        ),
        ("nanoseconds per event", format!("{median:.0} ({low:.0}–{high:.0})"), "500"),
        ("instructions per event", format!("{:.0}", instructions_per_event(&bench)?), ""),
    ];
    let head = ["decode → match → classify → count", "measured", "target"].map(str::to_owned);
    Ok(table(&head, rows.map(|(what, value, target)| vec![what.to_owned(), value, target.to_owned()])))
}

/// Instructions only: the same on every run, and so what two commits are compared by.
pub(crate) fn instructions() -> Result<String> {
    Ok(format!("{:.0} instructions per event\n", instructions_per_event(&build()?)?))
}

/// Builds the benchmark and says where it is.
fn build() -> Result<PathBuf> {
    let mut cargo = workspace::cargo();
    cargo.args(["bench", "--locked", "--package", "tracer", "--bench", "pipeline", "--no-run"]);
    let messages =
        process::output(cargo.arg("--message-format=json")).context("the benchmark does not build")?;
    let executable = messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        (message["target"]["name"] == "pipeline")
            .then(|| message["executable"].as_str().map(PathBuf::from))?
    });
    executable.context("cargo names no benchmark")
}

/// The median of criterion's samples, between the ends of its confidence interval.
fn nanoseconds_per_event(bench: &PathBuf) -> Result<[f64; 3]> {
    #[derive(Deserialize)]
    struct Estimates {
        median: Estimate,
    }
    #[derive(Deserialize)]
    struct Estimate {
        point_estimate: f64,
        confidence_interval: Interval,
    }
    #[derive(Deserialize)]
    struct Interval {
        lower_bound: f64,
        upper_bound: f64,
    }
    let home = workspace::target_dir().join("criterion");
    process::run_quietly(Command::new(bench).arg("--bench").env("CRITERION_HOME", &home))?;
    let read = |name: &str| fs::read(home.join("pipeline/events/new").join(name));
    let Estimates { median } = serde_json::from_slice(&read("estimates.json")?)?;
    let about: Value = serde_json::from_slice(&read("benchmark.json")?)?;
    let events = about["throughput"]["Elements"].as_f64().context("criterion tells no number of events")?;
    let Interval { lower_bound, upper_bound } = median.confidence_interval;
    Ok([lower_bound, median.point_estimate, upper_bound].map(|nanoseconds| nanoseconds / events))
}

fn instructions_per_event(bench: &PathBuf) -> Result<f64> {
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect={COUNTED}"))
        .arg(bench)
        .arg("--once");
    let output = valgrind.output().context("cannot run valgrind")?;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "valgrind failed: {stderr}");
    let events = stdout.lines().find_map(|line| line.strip_suffix(" events")?.parse::<f64>().ok());
    let collected = stderr.lines().find_map(|line| line.split_once("Collected : ")?.1.parse::<f64>().ok());
    let (events, collected) = events.zip(collected).context("valgrind counted nothing")?;
    Ok(collected / events)
}
