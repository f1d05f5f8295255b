//! The same traffic as a host sees it that has only one of the two ends, as most do: what the tracer makes of the records
//! of either end alone.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::servers::failures::HARMLESS;
use crate::testbed::network::Network;
use crate::testbed::recording::{Parts, replay};
use crate::testbed::reset::Reset;

/// How an event's line begins.
const EVENT: &str = r#"{"time":"#;

/// What either end alone would tell of these servers, which had no failure until then: each kind once, with one of its
/// lines and how often it came, and each warning.
pub(crate) fn judge(
    recording: &Path,
    net: &Network,
    servers: &[SocketAddr],
    until_ns: u64,
) -> Result<Vec<String>> {
    let bytes = fs::read(recording).with_context(|| format!("no recording {}", recording.display()))?;
    let parts = Parts::of(&bytes)?;
    let mut wrong = Vec::new();
    for (role, host) in [("server", &net.server), ("client", &net.client)] {
        let own = host.inum();
        let alone = recording.with_extension(role);
        fs::write(&alone, parts.keep(|netns, at_ns| netns == own && at_ns <= until_ns)?)?;
        let told = replay(&alone, &[])?;
        // Timeouts and advice come last.
        let (events, summary): (Vec<_>, Vec<_>) = told.lines().partition(|line| line.starts_with(EVENT));
        let resets: Vec<_> = events.into_iter().map(Reset::parse).collect::<Result<_>>()?;
        wrong.extend(kinds(&resets, role, servers));
        let warns = |line: &&str| line.contains(r#""severity":"warning""#) && names(line, servers);
        wrong.extend(summary.into_iter().filter(warns).map(|line| format!("the {role}'s end alone: {line}")));
    }
    Ok(wrong)
}

fn names(line: &str, servers: &[SocketAddr]) -> bool {
    servers.iter().any(|server| line.contains(&format!(r#""server":"{server}""#)))
}

fn kinds(told: &[Reset], role: &str, servers: &[SocketAddr]) -> Vec<String> {
    let failed = told.iter().filter(|one| {
        let cause = one.cause.as_str();
        one.role == role
            && one.server.is_some_and(|server| servers.contains(&server))
            && cause != "unknown"
            && !HARMLESS.contains(&cause)
    });
    let mut kinds: BTreeMap<_, (usize, &Reset)> = BTreeMap::new();
    for one in failed {
        kinds.entry((one.server, &one.ended_by, &one.cause)).or_insert((0, one)).0 += 1;
    }
    let say = |(number, one)| format!("the {role}'s end alone tells of {number} failures: {one:?}");
    kinds.into_values().map(say).collect()
}
