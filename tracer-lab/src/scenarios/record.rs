//! Recordings of scenarios, one file each, for tests of the tracer that need no kernel.
//!
//! Each scenario is run under a tracer of its own that records, and must be right. What is kept are the records of the
//! scenario's own hosts, and what `tracer replay` makes of them.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::scenarios::case::Case;
use crate::scenarios::outcome::Watched;
use crate::testbed::daemon::{DaemonUnderTest, RACE_WINDOW, VANISHED_GRACE};
use crate::testbed::network::Family;
use crate::testbed::recording::{Parts, replay};
use crate::testbed::reset::Reset;
use crate::testbed::wait::let_pass;

/// What is recorded on every address family, the rest on IPv4 only: between them the kernel side reads addresses in all
/// the ways it can, from sockets, time-wait mini-sockets and segments.
const ON_EVERY_FAMILY: [&str; 6] = [
    "race-fin-in-flight",
    "race-fin-unprocessed",
    "unread-close",
    "syn-to-closed-port",
    "failover-to-nobody",
    "response-after-close",
];

/// Records those of `cases` that tell something new into `directory/<kernel>/`: `<case>.rec` with what the kernel said,
/// `<case>.ndjson` with what is right to say of it.
pub(crate) fn record(cases: &[Case], directory: &Path) -> Result<()> {
    let directory = directory.join(series(fs::read_to_string("/proc/sys/kernel/osrelease")?.trim()));
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let mut missing = Vec::new();
    // One after the other: the number of a namespace that is gone comes again at once.
    for case in cases.iter().filter(|case| is_worth_it(case)) {
        // What others do on this machine can disturb a case, but hardly twice.
        let attempt = || record_case(case, &directory).inspect_err(|why| say(case, &format!("{why:#}")));
        match attempt().or_else(|_| attempt()) {
            Ok(what_came_of_it) => say(case, what_came_of_it),
            Err(_) => missing.push(case.name()),
        }
    }
    ensure!(missing.is_empty(), "not recorded: {}", missing.join(", "));
    Ok(())
}

fn is_worth_it(case: &Case) -> bool {
    case.family == Family::V4 || ON_EVERY_FAMILY.contains(&case.scenario.name)
}

/// Further lines are indented.
fn say(case: &Case, what: &str) {
    println!("{:<32} {}", case.name(), what.trim_end().replace('\n', "\n    "));
}

/// The part of a kernel's release that recordings go by: `6.12` of `6.12.107+deb13-amd64`.
fn series(release: &str) -> String {
    release.split('.').take(2).collect::<Vec<_>>().join(".")
}

/// Returns what came of it.
fn record_case(case: &Case, directory: &Path) -> Result<&'static str> {
    let scratch = TempDir::new().context("no temporary directory for the recording")?;
    let all = scratch.path().join("all");
    let flag = all.to_str().context("a temporary directory with a strange name")?;
    let tracer = DaemonUnderTest::start_with(&["--race-window", RACE_WINDOW, "--record", flag])?;
    let_pass(VANISHED_GRACE);
    let outcome = case.run(Some(&tracer), None);
    tracer.stop()?;
    if outcome.is_unsupported() {
        return Ok("is nothing this kernel can do");
    }
    ensure!(outcome.is_ok(), "not as expected:\n{outcome}");

    let recording = scratch.path().join("cut");
    let watched = &outcome.watched;
    fs::write(&recording, cut(&fs::read(&all)?, watched)?)?;
    let lines = replay(&recording, &["--race-window", RACE_WINDOW])?;
    let replayed = lines.lines().map(Reset::parse).collect::<Result<Vec<_>>>()?;
    let said = &watched.lines;
    ensure!(
        replayed.len() == said.len() && said.iter().all(|reset| replayed.contains(reset)),
        "the tracer said {said:?}, its replay {replayed:?}"
    );
    // A name may have a dot.
    let file = |extension| directory.join(format!("{}.{extension}", case.name().replace('/', "-")));
    fs::copy(&recording, file("rec"))?;
    fs::write(file("ndjson"), lines)?;
    Ok("recorded")
}

/// The header, and the records of the case's namespaces until it was judged.
fn cut(recording: &[u8], watched: &Watched) -> Result<Vec<u8>> {
    let mut parts = Parts::of(recording)?;
    // Which machine it was is nobody's business; the version is.
    let release = parts.header["kernel"].as_str().context("a header without the kernel's release")?;
    parts.header["kernel"] = series(release).into();
    let time = watched.since_ns..=watched.until_ns;
    parts.keep(|netns, at_ns| watched.netns.contains(&netns) && time.contains(&at_ns))
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;
    use std::ops::Range;

    use tracer_common::Record;

    use super::*;
    use crate::lab::cases;
    use crate::scenarios;

    /// Where a record has the number of its network namespace, in the machine's byte order.
    const NETNS: Range<usize> = offset_of!(Record, netns)..offset_of!(Record, netns) + size_of::<u32>();
    /// Likewise its time.
    const AT: Range<usize> = offset_of!(Record, at_ns)..offset_of!(Record, at_ns) + size_of::<u64>();

    #[test]
    fn every_scenario_is_recorded_on_ipv4_and_six_on_every_family() {
        let recorded: Vec<_> = cases().into_iter().filter(is_worth_it).collect();
        let on = |family| recorded.iter().filter(|case| case.family == family).count();
        let all = scenarios::all().count();
        assert_eq!([Family::V4, Family::V6, Family::Mapped].map(on), [all, 6, 6]);
    }

    #[test]
    fn a_recording_keeps_what_the_cases_own_namespaces_did_in_it_and_no_name_of_the_machine() {
        let record = |netns: u32, at_ns: u64| {
            let mut bytes = vec![0; size_of::<Record>()];
            bytes[NETNS].copy_from_slice(&netns.to_ne_bytes());
            bytes[AT].copy_from_slice(&at_ns.to_ne_bytes());
            bytes
        };
        let header =
            |kernel: &str| format!("{{\"kernel\":\"{kernel}\",\"record_bytes\":{}}}\n", size_of::<Record>());
        let release = header("6.12.107+deb13-amd64").into_bytes();
        let all =
            [release, record(7, 9), record(7, 10), record(8, 11), record(7, 20), record(7, 21)].concat();
        let kept = [header("6.12").into_bytes(), record(7, 10), record(7, 20)].concat();
        let watched = Watched { netns: vec![7, 9], since_ns: 10, until_ns: 20, ..Watched::default() };
        assert_eq!(cut(&all, &watched).unwrap(), kept);
    }
}
