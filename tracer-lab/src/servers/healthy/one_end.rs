//! The same traffic as a host sees it that has only one of the two ends, as most do: what the tracer makes of the
//! records of either end alone.

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
    let mut kinds: BTreeMap<_, Vec<&Reset>> = BTreeMap::new();
    for one in told.iter().filter(|one| one.role == role && is_failure(one)) {
        if let Some(server) = one.server.filter(|server| servers.contains_key(server)) {
            kinds.entry((server, &one.ended_by, one.cause.as_str())).or_default().push(one);
        }
    }
    let is_too_often = |server: &SocketAddr, cause: &str, number: usize| {
        let allowed = if cause == "keepalive_race" { 0 } else { servers[server] / MISJUDGED_OF };
        number > allowed
    };
    kinds.retain(|(server, _, cause), of_kind| is_too_often(server, cause, of_kind.len()));
    let say = |of_kind: &Vec<&Reset>| {
        format!("the {role}'s end alone tells of {} failures: {:?}", of_kind.len(), of_kind[0])
    };
    kinds.values().map(say).collect()
}

fn is_failure(one: &Reset) -> bool {
    one.cause != "unknown" && !HARMLESS.contains(&one.cause.as_str())
}
