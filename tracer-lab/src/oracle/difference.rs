//! Compares what the tracer said of a host with what the wire proves and the scenario expects.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::time::Duration;

use nix::errno::Errno;
use nix::time::{ClockId, clock_getres};

use crate::oracle::community::community_id;
use crate::oracle::describe::describe;
use crate::oracle::evidence::{End, Evidence, HELD, Side};
use crate::oracle::expectation::{Idle, Line, Rsts};
use crate::oracle::request_line::RequestLine;
use crate::testbed::coverage::Coverage;
use crate::testbed::reset::Reset;

/// What is known of one host after a scenario.
pub(crate) struct View<'a> {
    pub(crate) side: Side,
    pub(crate) client: SocketAddr,
    pub(crate) server: SocketAddr,
    pub(crate) evidence: &'a Evidence,
    /// What the host's application got from its socket.
    pub(crate) errno: Option<Errno>,
    /// What the tracer said of the host's namespace; `None` if it was not asked.
    pub(crate) resets: Option<&'a [Reset]>,
    /// What the tracer said of the connection's other end, if that is on one of these hosts.
    pub(crate) twin: Option<&'a Reset>,
    /// The server's application has read the last request.
    pub(crate) read: bool,
    pub(crate) coverage: Coverage,
}

/// The first way in which `view` is not as expected.
pub(crate) fn difference(expected: Option<&Line>, rsts: Option<Rsts>, view: &View) -> Option<String> {
    scenario_differs(expected, rsts, view).or_else(|| daemon_differs(expected, view))
}

/// Is the scenario itself what it says, by the wire and by the applications?
fn scenario_differs(expected: Option<&Line>, rsts: Option<Rsts>, view: &View) -> Option<String> {
    let seen = view.evidence;
    let errno = view.errno.map(|errno| format!("{errno:?}"));
    first([
        rsts.and_then(|rsts| differs("RSTs from the server", rsts.from_server, seen.rsts_from_server)),
        rsts.and_then(|rsts| differs("RSTs from the client", rsts.from_client, seen.rsts_from_client)),
        expected.and_then(|line| differs("the application's errno", line.errno, errno.as_deref())),
        expected.and_then(|line| differs("race on the wire", line.race, line.race.and(seen.race))),
    ])
}

fn daemon_differs(expected: Option<&Line>, view: &View) -> Option<String> {
    let seen = expected.and_then(|line| view.coverage.of(line));
    match (seen, view.resets?) {
        (None, []) => None,
        (None, [reset, ..]) => Some(format!("the tracer should be silent: {}", describe(reset))),
        (Some(_), []) => Some("the tracer says nothing".to_owned()),
        (Some(_), [_, second, ..]) => Some(format!("the tracer says more: {}", describe(second))),
        (Some(line), [reset]) => told_wrong(&line, reset, view),
    }
}

fn told_wrong(line: &Line, reset: &Reset, view: &View) -> Option<String> {
    let seen = view.evidence;
    let (local, remote, rsts) = match view.side {
        Side::Client => (view.client, view.server, seen.rsts_from_client),
        Side::Server | Side::Standby => (view.server, view.client, seen.rsts_from_server),
    };
    // A RST that finds no socket leaves no trace where it arrives: one socket, one segment.
    let segments = match line.direction {
        _ if line.ended_by != "rst" => 0,
        Some("sent") if view.coverage.counts_all() => {
            reset.rst_segments.clamp(rsts.saturating_sub(seen.late_rsts), rsts)
        }
        Some("sent") => reset.rst_segments.min(rsts),
        _ => 1,
    };
    let server = (line.role != "unknown").then_some(view.server);
    first([
        differs("direction", line.direction, reset.direction.as_deref()),
        differs("ended_by", line.ended_by, reset.ended_by.as_str()),
        differs("cause", line.cause, reset.cause.as_str())
            .filter(|_| !line.or.contains(&reset.cause.as_str())),
        differs("race", line.race, reset.race.as_deref()),
        differs("role", line.role, reset.role.as_str()),
        differs("mechanism", line.mechanism, reset.mechanism.as_deref()),
        differs("errno", line.errno, reset.errno.as_deref()),
        differs("matched", line.matched, reset.matched.as_str()),
        differs("local", local, reset.local),
        differs("remote", remote, reset.remote),
        differs("server", server, reset.server),
        line.state.and_then(|state| differs("state", Some(state), reset.state.as_deref())),
        line.request_read.and_then(|read| differs("request_read", read, reset.request_read.as_str())),
        promised(reset, view),
        misnamed(reset, view),
        differs_from_twin(reset, view),
        differs("rst_segments", segments, reset.rst_segments),
        reset.requests.and_then(|requests| differs("requests", answered(line, view, requests), requests)),
        wrong_request_line(line, reset, view),
        untrue("idle", seen.idle, reset.idle_seconds),
        // A kernel takes the handshake's end for the time of what came with the SYN.
        (line.idle != Idle::Null)
            .then(|| {
                never_ended("request to end", &seen.request_to_end, reset, reset.request_to_reset_seconds)
            })
            .flatten(),
        untrue("FIN to request", seen.fin_to_request, reset.fin_to_request_seconds),
        never_ended("since response", &seen.since_response, reset, reset.since_response_seconds),
        missing(line.idle, seen.idle, reset.idle_seconds),
    ])
}

/// What may be sent again was not taken.
fn promised(reset: &Reset, view: &View) -> Option<String> {
    let broken = view.read && reset.request_read == "never";
    broken.then(|| "request_read: never, but the application has read the request".to_owned())
}

/// A name may be unknown where the kernel kept nothing, but one that is given must be the wire's.
fn misnamed(reset: &Reset, view: &View) -> Option<String> {
    let wire = view.evidence.connection.as_deref();
    // A client learns the server's sequence number with the answer to its SYN.
    let must_be_known = reset.matched != "none" && reset.state.as_deref() != Some("SYN_SENT");
    let reported = reset.connection.as_deref();
    let community = community_id(view.client, view.server);
    first([
        differs("community_id", community.as_str(), reset.community_id.as_str()),
        (must_be_known || reported.is_some()).then(|| differs("connection", wire, reported)).flatten(),
        reset.explanation.is_empty().then(|| "explanation: there is none".to_owned()),
    ])
}

/// Both ends of one connection are judged with each other's facts; one that ended long before the other may have been
/// passed on before those were there.
fn differs_from_twin(reset: &Reset, view: &View) -> Option<String> {
    let twin = view.twin.filter(|twin| twin.connection.is_some() && twin.connection == reset.connection)?;
    let in_time = twin.seconds_behind(reset) <= HELD.as_secs_f64();
    first([
        in_time.then(|| differs("twin", true, reset.twin)).flatten(),
        differs("cause at the other end", reset.cause.as_str(), twin.cause.as_str()),
        differs("race at the other end", reset.race.as_deref(), twin.race.as_deref()),
        differs("request_read at the other end", reset.request_read.as_str(), twin.request_read.as_str()),
    ])
}

/// A request may be unknown, but one that is given must be the last one on the wire.
fn wrong_request_line(line: &Line, reset: &Reset, view: &View) -> Option<String> {
    let reported = RequestLine::reported(reset);
    let evidence = &view.evidence;
    let wire =
        if line.cause == "early_close" { &evidence.latest_request_line } else { &evidence.request_line };
    // What leaves with the SYN passes no probe.
    let must_be_known =
        view.coverage.shows_request_line(line, evidence.acknowledged) && !evidence.came_with_syn;
    let is_right = if reported.is_none() { !must_be_known || wire.is_none() } else { reported == *wire };
    if reported.is_some() && view.coverage.hides_request_lines() {
        return Some("the tracer says what nobody asked for: a request".to_owned());
    }
    (!is_right).then(|| format!("request: the wire says {wire:?}, the tracer {reported:?}"))
}

/// A client counts the responses that its application has read: one that met its close, was cut, or was left there, may
/// be missing.
fn answered(line: &Line, view: &View, counted: u32) -> u32 {
    let answered = view.evidence.answered;
    let left_there = ["client_abort", "early_close", "response_cut"];
    let may_be_unread = view.side == Side::Client && left_there.contains(&line.cause);
    counted.clamp(answered.saturating_sub(may_be_unread.into()), answered)
}

fn first<const N: usize>(differences: [Option<String>; N]) -> Option<String> {
    differences.into_iter().flatten().next()
}

fn missing(idle: Idle, wire: Option<f64>, tracer: Option<f64>) -> Option<String> {
    if let (Idle::Null, Some(said)) = (idle, tracer) {
        return Some(format!("idle: there is none, the tracer says {said:.4} s"));
    }
    let wire = wire.filter(|_| idle == Idle::Demanded && tracer.is_none())?;
    Some(format!("idle: the wire says {wire:.4} s, the tracer does not know"))
}

fn differs<T: Copy + PartialEq + Debug>(what: &str, expected: T, found: T) -> Option<String> {
    (expected != found).then(|| format!("{what}: expected {expected:?}, found {found:?}"))
}

/// A time may be unknown, but if the tracer gives one the wire must bear it out.
fn untrue(what: &str, wire: Option<f64>, tracer: Option<f64>) -> Option<String> {
    let said = tracer?;
    let Some(seen) = wire else {
        return Some(format!("{what}: the tracer says {said:.4} s, the wire knows of none"));
    };
    ((said - seen).abs() > tolerance().as_secs_f64())
        .then(|| format!("{what}: the wire says {seen:.4} s, the tracer {said:.4}"))
}

/// A time until the end must be that to a segment which ended the connection so; no segment tells when a kernel gave
/// up.
fn never_ended(what: &str, wire: &[End], reset: &Reset, tracer: Option<f64>) -> Option<String> {
    let said = tracer.filter(|_| ["rst", "fin"].contains(&reset.ended_by.as_str()))?;
    let ends = wire.iter().filter(|end| end.by == reset.ended_by).map(|end| end.seconds);
    untrue(what, ends.min_by(|one, other| (one - said).abs().total_cmp(&(other - said).abs())), tracer)
}

/// The kernel's timestamps tick once per jiffy; a capture and a probe see one packet at slightly different moments.
pub(crate) fn tolerance() -> Duration {
    let jiffy =
        clock_getres(ClockId::CLOCK_MONOTONIC_COARSE).map_or(Duration::from_millis(10), Duration::from);
    jiffy + Duration::from_millis(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::expectation::{FIN_RECEIVED, Line};

    const CONNECTION: &str = "0000000900000063";
    const LINE: Line = Line { cause: "awaiting_response", request_read: Some("yes"), ..FIN_RECEIVED };

    /// What to replace in a line that is right.
    type Change = &'static [(&'static str, &'static str)];

    fn reset(change: Change) -> Reset {
        let mut line = format!(
            r#"{{"time":"2026-11-27T00:00:00.000Z","id":1,"connection":"{CONNECTION}","community_id":"1:0Z0buJjT9k8isNNZaPGKjp1g6Oo=",
            "direction":"received","ended_by":"fin","role":"client","cause":"awaiting_response","race":null,
            "mechanism":null,"local":"10.77.2.1:50000","remote":"10.77.1.1:8080","server":"10.77.1.1:8080","netns":7,
            "state":null,"kernel_reason":null,"errno":null,"matched":"socket","twin":true,"request_read":"yes",
            "idle_seconds":null,"request_to_reset_seconds":0.7,"fin_to_request_seconds":null,
            "since_response_seconds":null,"connection_age_seconds":null,"bytes_sent":1,"bytes_received":1,
            "srtt_seconds":null,"rst_segments":0,"requests":null,"method":null,"path":null,
            "explanation":"It closed."}}"#
        );
        for (from, to) in change {
            assert!(line.contains(from), "{from}");
            line = line.replace(from, to);
        }
        Reset::parse(&line).unwrap()
    }

    fn evidence() -> Evidence {
        Evidence {
            connection: Some(CONNECTION.to_owned()),
            request_to_end: vec![End { by: "fin", seconds: 0.7 }],
            ..Evidence::default()
        }
    }

    fn said(own: Change, twin: Change, read: bool) -> Option<String> {
        let evidence = evidence();
        told_wrong(
            &LINE,
            &reset(own),
            &View {
                side: Side::Client,
                client: "10.77.2.1:50000".parse().unwrap(),
                server: "10.77.1.1:8080".parse().unwrap(),
                evidence: &evidence,
                errno: None,
                resets: None,
                twin: Some(&reset(twin)),
                read,
                coverage: Coverage::WHOLE,
            },
        )
    }

    #[test]
    fn what_a_line_says_must_be_the_wires_the_scenarios_and_the_other_ends() {
        let cases: [(Change, Change, &str); 10] = [
            (&[("\"fin\"", "\"rst\"")], &[], "ended_by"),
            (&[("\"received\"", "null")], &[], "direction"),
            (&[("\"request_read\":\"yes\"", "\"request_read\":\"unknown\"")], &[], "request_read"),
            (&[("seconds\":0.7", "seconds\":0.1")], &[], "request to end"),
            (&[("00000063", "00000064")], &[], "connection"),
            (&[("0Z0b", "1Z0b")], &[], "community_id"),
            (&[("It closed.", "")], &[], "explanation"),
            (&[], &[("awaiting_response", "client_abort")], "cause at the other end"),
            (&[("\"twin\":true", "\"twin\":false")], &[], "twin"),
            (&[("\"twin\":true", "\"twin\":false")], &[("00:00:00.000", "00:00:00.090")], "twin"),
        ];
        assert_eq!(said(&[], &[], true), None);
        let later: Change = &[("2026-11-27T00:00:00.000", "2026-11-27T00:00:00.091")];
        let earlier: Change = &[("2026-11-27T00:00:00.000", "2026-11-26T23:59:59.900")];
        let alone: Change = &[("\"twin\":true", "\"twin\":false")];
        assert_eq!(said(alone, later, true), None);
        assert!(said(alone, earlier, true).is_some());
        for (own, twin, what) in cases {
            let difference = said(own, twin, true).unwrap_or_default();
            assert!(difference.starts_with(what), "{what}: {difference}");
        }
    }

    #[test]
    fn never_is_no_word_for_a_request_that_was_read() {
        let never: Change = &[("\"request_read\":\"yes\"", "\"request_read\":\"never\"")];
        let line = Line { request_read: None, ..LINE };
        let evidence = evidence();
        let promise = |read| {
            let view = View {
                side: Side::Client,
                client: "10.77.2.1:50000".parse().unwrap(),
                server: "10.77.1.1:8080".parse().unwrap(),
                evidence: &evidence,
                errno: None,
                resets: None,
                twin: None,
                read,
                coverage: Coverage::WHOLE,
            };
            told_wrong(&line, &reset(never), &view).is_some()
        };
        assert_eq!([promise(true), promise(false)], [true, false]);
    }
}
