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

/// On a starved machine what one end shows of a last word may be too late to be known as one: of so many connections
/// one may be misjudged. No race may be.
const MISJUDGED_OF: usize = 100;
/// How an event's line begins.
const EVENT: &str = r#"{"time":"#;

/// What either end alone would tell of these servers, which had no failure until then: each kind once, with one of its
/// lines and how often it came, and each warning. Servers are given with the number of their connections.
pub(crate) fn judge(
    recording: &Path,
    net: &Network,
    servers: &BTreeMap<SocketAddr, usize>,
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

fn names(line: &str, servers: &BTreeMap<SocketAddr, usize>) -> bool {
    servers.keys().any(|server| line.contains(&format!(r#""server":"{server}""#)))
}

fn kinds(told: &[Reset], role: &str, servers: &BTreeMap<SocketAddr, usize>) -> Vec<String> {
    let mut kinds: BTreeMap<_, (usize, &Reset)> = BTreeMap::new();
    for one in told {
        let (server, cause) =
            (one.server.and_then(|server| servers.get_key_value(&server)), one.cause.as_str());
        let is_failure = cause != "unknown" && !HARMLESS.contains(&cause);
        if let Some((server, connections)) = server
            && one.role == role
            && is_failure
        {
            let allowed = if cause == "keepalive_race" { 0 } else { connections / MISJUDGED_OF };
            kinds.entry((server, &one.ended_by, cause, allowed)).or_insert((0, one)).0 += 1;
        }
    }
    let excess = kinds.into_iter().filter(|((.., allowed), (number, _))| number > allowed);
    excess
        .map(|(_, (number, one))| format!("the {role}'s end alone tells of {number} failures: {one:?}"))
        .collect()
}
