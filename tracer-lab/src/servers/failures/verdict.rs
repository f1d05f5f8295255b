//! Joins what the applications say with what the tracer says: one failure, one incident, and a right cause.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::servers::failures::front::Walked;
use crate::servers::failures::incident::Incident;
use crate::servers::failures::kind::Kind;
use crate::servers::failures::wire::Connections;

/// How far the application's word and the tracer's may be apart where only their times tell which belong together.
const TOGETHER: Duration = Duration::from_millis(1_500);
/// Longer than the tracer holds an incident.
const HELD: Duration = Duration::from_millis(200);
/// What it is when a proxy took a request and closes without an answer, or with one that a reset destroys because the
/// request was not all there.
const DROPPED: &[&str] = &["awaiting_response", "early_close"];
/// What the rest of a refused upload may be called that meets the close behind the answer: where it came at once, it
/// may have been another request.
const REST: &[&str] = &["early_close", "unknown"];
/// What a race may be called where the server's application took the request all the same.
const TAKEN: &str = "awaiting_response";
pub(crate) const RACE: &str = "keepalive_race";
/// What may be said where nothing was lost, but a last word looks like a request.
const UNDECIDED: &str = "unknown";

/// Everything about one server.
pub(crate) struct Evidence<'a> {
    pub(crate) kind: &'a Kind,
    /// Whether a last word looks like a request in what the server speaks.
    pub(crate) is_opaque: bool,
    pub(crate) walked: &'a Walked,
    /// On which connections its requests went.
    pub(crate) connections: &'a Connections,
    /// Requests that its application took.
    pub(crate) taken: &'a HashSet<u64>,
    /// What the tracer said of it.
    pub(crate) incidents: &'a [Incident],
}

/// What came of it.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Verdict {
    /// Requests that failed, also those that a library sent again.
    pub(crate) failed: usize,
    pub(crate) joined: usize,
    pub(crate) wrong: Vec<String>,
    pub(crate) missing: Vec<String>,
    pub(crate) extra: Vec<String>,
    /// What the client's end was told.
    pub(crate) causes: BTreeMap<String, usize>,
}

/// A request that failed on one connection.
struct Failure<'a> {
    id: u64,
    client: Option<SocketAddr>,
    said: &'a str,
    /// What it may be called.
    right: &'a [&'static str],
    at: Option<Instant>,
}

impl Failure<'_> {
    fn is_told_by(&self, incident: &Incident) -> bool {
        incident.is_failure() || self.right.contains(&incident.cause.as_str())
    }
}

/// Judges what the tracer said of one server.
pub(crate) fn judge(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::default();
    let mut used = vec![false; evidence.incidents.len()];
    // Those whose connection is known go first.
    let (mut known, unknown): (Vec<_>, Vec<_>) =
        failures(evidence).into_iter().partition(|failure| failure.client.is_some());
    verdict.failed = known.len() + unknown.len();
    for failure in unknown {
        let client = nearest(evidence, &failure, &known);
        known.push(Failure { client, ..failure });
    }
    for failure in &known {
        join(evidence, failure, &mut used, &mut verdict);
    }
    let refused = refused(evidence);
    for (incident, _) in evidence.incidents.iter().zip(&used).filter(|(_, used)| !**used) {
        let is_refusal = REST.contains(&incident.cause.as_str()) && refused.contains(&incident.ends()[0]);
        let is_spared = evidence.is_opaque && incident.cause == UNDECIDED;
        if incident.is_failure() && !is_refusal && !is_spared {
            verdict.extra.push(incident.line.clone());
        }
    }
    verdict
}

/// What failed, on each connection: a library that sends a request again has seen it fail before.
fn failures<'a>(evidence: &'a Evidence) -> Vec<Failure<'a>> {
    let mut failures = Vec::new();
    for loss in &evidence.walked.losses {
        let right = if loss.at_proxy { DROPPED } else { evidence.kind.right };
        let failure = |client| Failure { id: loss.id, client, said: &loss.said, right, at: loss.at };
        match evidence.connections.get(&loss.id) {
            Some(clients) if !loss.at_proxy => {
                failures.extend(clients.iter().map(|client| failure(Some(*client))));
            }
            _ => failures.push(failure(loss.client)),
        }
    }
    let lost: HashSet<u64> = evidence.walked.losses.iter().map(|loss| loss.id).collect();
    for (&id, clients) in evidence.connections.iter().filter(|(id, _)| !lost.contains(id)) {
        let before_last = &clients[..clients.len() - 1];
        failures.extend(before_last.iter().map(|client| Failure {
            id,
            client: Some(*client),
            said: "sent again by the library",
            right: evidence.kind.right,
            at: None,
        }));
    }
    failures
}

/// The client of the incident that came at the time of a failure without a known connection, unless it is another's.
fn nearest(evidence: &Evidence, failure: &Failure, known: &[Failure]) -> Option<SocketAddr> {
    failure.at?;
    let candidates = evidence.incidents.iter().filter(|incident| {
        let client = Some(incident.ends()[0]);
        failure.is_told_by(incident)
            && incident.role == "client"
            && known.iter().all(|other| other.client != client)
    });
    // What is undecided may be of a connection that lost nothing.
    let later = |incident: &Incident| if incident.cause == UNDECIDED { HELD } else { Duration::ZERO };
    let nearest = candidates.min_by_key(|incident| apart(incident, failure.at) + later(incident))?;
    (apart(nearest, failure.at) <= TOGETHER).then_some(nearest.ends()[0])
}

/// From one to the other; none where the application did not say when.
fn apart(incident: &Incident, at: Option<Instant>) -> Duration {
    at.map_or(Duration::ZERO, |at| incident.at.max(at) - incident.at.min(at))
}

/// Whether both are about one connection, if the client is the same.
fn are_of_one(one: &Incident, other: &Incident) -> bool {
    match (&one.connection, &other.connection) {
        (Some(one), Some(other)) => one == other,
        _ => apart(one, Some(other.at)) <= TOGETHER,
    }
}

fn join(evidence: &Evidence, failure: &Failure, used: &mut [bool], verdict: &mut Verdict) {
    let what = format!("{} /x{} {:?}", failure.said, failure.id, failure.client);
    let of_client = |incident: &Incident| Some(incident.ends()[0]) == failure.client;
    let free =
        evidence.incidents.iter().zip(&*used).filter(|(incident, used)| !**used && of_client(incident));
    // A client's port may have been that of an earlier connection.
    let first = free.map(|(incident, _)| incident).min_by_key(|incident| apart(incident, failure.at));
    let (mut client, mut server) = (Vec::new(), Vec::new());
    for (incident, used) in evidence.incidents.iter().zip(used) {
        if !*used && of_client(incident) && first.is_some_and(|first| are_of_one(first, incident)) {
            *used = true;
            (if incident.role == "client" { &mut client } else { &mut server }).push(incident);
        }
    }
    let told: Vec<_> = client.iter().filter(|one| failure.is_told_by(one)).copied().collect();
    let [told] = told[..] else {
        let lines =
            || client.iter().chain(&server).map(|one| one.line.as_str()).collect::<Vec<_>>().join("\n    ");
        if told.is_empty() {
            verdict.missing.push(format!("{what}\n    {}", lines()));
        } else {
            verdict.wrong.push(format!("told {} times: {what}\n    {}", told.len(), lines()));
        }
        return;
    };
    let read = told.request_read.as_deref().unwrap_or("-");
    *verdict.causes.entry(format!("{}, read {read}", told.kind())).or_default() += 1;
    match wrong(evidence, failure, told, &server) {
        None => verdict.joined += 1,
        Some(why) => {
            let told: Vec<_> = [told].iter().chain(&server).map(|one| one.line.as_str()).collect();
            verdict.wrong.push(format!("{why}: {what}\n    {}", told.join("\n    ")));
        }
    }
}

/// What is wrong with what was told of one failure at its two ends.
fn wrong(evidence: &Evidence, failure: &Failure, told: &Incident, server: &[&Incident]) -> Option<String> {
    // Which of several attempts was taken, its path does not tell.
    let attempts = evidence.connections.get(&failure.id).map_or(1, Vec::len);
    let taken = evidence.taken.contains(&failure.id) && attempts == 1;
    let may_race = failure.right.contains(&RACE);
    let right = |cause: &str| failure.right.contains(&cause) || (may_race && taken && cause == TAKEN);
    if !right(&told.cause) {
        return Some(format!("not {}", told.cause));
    }
    if taken && std::iter::once(&told).chain(server).any(|one| one.request_read.as_deref() == Some("never")) {
        return Some("it was read".into());
    }
    let is_never_read = |one: &&Incident| one.request_read.as_deref() == Some("never");
    if told.cause == "never_read" && !server.iter().all(is_never_read) {
        return Some("the server's end does not say that it was never read".into());
    }
    // A host that only has the address is no end of the connection.
    let server: Vec<_> = server.iter().filter(|incident| incident.role == "server").collect();
    match server[..] {
        [twin] if twin.cause != told.cause || twin.race != told.race => {
            Some(format!("the server's end says {}", twin.cause))
        }
        [] | [_] => None,
        _ => Some(format!("the server's end tells {} times", server.len())),
    }
}

/// The clients whose uploads were refused: a close meets the rest of them.
fn refused(evidence: &Evidence) -> HashSet<SocketAddr> {
    let upstream = evidence.walked.refused.iter().filter_map(|id| evidence.connections.get(id)).flatten();
    upstream.chain(&evidence.walked.refused_at_proxy).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servers::failures::kind::{self, REFUSED};
    use crate::servers::failures::loss::Loss;

    const CLIENT: &str = "10.0.0.1:7";

    fn incident(role: &str, cause: &str) -> Incident {
        let (local, remote) =
            if role == "client" { (CLIENT, "10.0.0.2:80") } else { ("10.0.0.2:80", CLIENT) };
        let line = format!(
            r#"{{"role":"{role}","cause":"{cause}","race":null,"local":"{local}","remote":"{remote}","netns":1,
            "connection":null,"ended_by":"fin","request_read":"never"}}"#
        );
        Incident::parse(&line).unwrap()
    }

    /// Joined, wrong, missing and extra, of one request that failed and one that did not.
    fn count(kind: &Kind, on_wire: bool, taken: &[u64], incidents: &[Incident]) -> [usize; 4] {
        let at = Some(Instant::now());
        let loss = Loss { id: 1, said: "reset".into(), client: None, at, at_proxy: false };
        let walked = Walked { losses: vec![loss], ..Walked::default() };
        let mut connections = Connections::new();
        if on_wire {
            connections.insert(1, vec![CLIENT.parse().unwrap()]);
        }
        connections.insert(2, vec!["10.0.0.1:8".parse().unwrap()]);
        let taken = taken.iter().copied().collect();
        let evidence = Evidence {
            kind,
            is_opaque: false,
            walked: &walked,
            connections: &connections,
            taken: &taken,
            incidents,
        };
        let verdict = judge(&evidence);
        [verdict.joined, verdict.wrong.len(), verdict.missing.len(), verdict.extra.len()]
    }

    #[test]
    fn one_failure_is_one_incident_of_a_right_cause() {
        let [race, abort, harmless] =
            ["keepalive_race", "client_abort", "after_response"].map(|cause| incident("client", cause));
        let [twin, other] = ["keepalive_race", "awaiting_response"].map(|cause| incident("server", cause));
        for (incidents, expected) in [
            (vec![race.clone()], [1, 0, 0, 0]),
            (vec![race.clone(), twin], [1, 0, 0, 0]),
            (vec![race.clone(), other], [0, 1, 0, 0]),
            (vec![race.clone(), race.clone()], [0, 1, 0, 0]),
            (vec![abort], [0, 1, 0, 0]),
            (vec![harmless], [0, 0, 1, 0]),
            (vec![], [0, 0, 1, 0]),
        ] {
            assert_eq!(count(&kind::RACE, true, &[], &incidents), expected, "{incidents:?}");
        }
        // The server's application says that it took it.
        assert_eq!(count(&kind::RACE, true, &[1], std::slice::from_ref(&race)), [0, 1, 0, 0]);
        // Another connection had the client's port before.
        let of = |connection: &str| Incident { connection: Some(connection.into()), ..race.clone() };
        assert_eq!(count(&kind::RACE, true, &[], &[of("a"), of("b")]), [1, 0, 0, 1]);
        assert_eq!(count(&kind::RACE, true, &[], &[of("a"), of("a")]), [0, 1, 0, 0]);
    }

    #[test]
    fn what_nobody_lost_is_extra() {
        let refused = incident("client", "refused");
        let mut stranger = refused.clone();
        stranger.local = "10.0.0.1:8".parse().unwrap();
        assert_eq!(count(&REFUSED, true, &[], &[refused.clone(), stranger]), [1, 0, 0, 1]);
        // Of a connection that never carried anything only the time tells.
        assert_eq!(count(&REFUSED, false, &[], &[refused]), [1, 0, 0, 0]);
    }
}
