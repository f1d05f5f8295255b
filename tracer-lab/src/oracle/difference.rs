//! Compares what the tracer said of a host with what the wire proves and the scenario expects.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::time::Duration;

use nix::errno::Errno;
use nix::time::{ClockId, clock_getres};

use crate::oracle::describe::describe;
use crate::oracle::evidence::{Evidence, Side};
use crate::oracle::expectation::{Idle, Line, QUIET, Rsts};
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
    pub(crate) coverage: Coverage,
}

/// The first way in which `view` is not as expected.
pub(crate) fn difference(expected: Option<&Line>, rsts: Rsts, view: &View) -> Option<String> {
    scenario_differs(expected, rsts, view).or_else(|| daemon_differs(expected, view))
}

/// Is the scenario itself what it says, by the wire and by the applications?
fn scenario_differs(expected: Option<&Line>, rsts: Rsts, view: &View) -> Option<String> {
    // A host that the tracer has nothing to say of has seen no RST.
    let rsts = if expected.is_some() { rsts } else { QUIET };
    let seen = view.evidence;
    let errno = view.errno.map(|errno| format!("{errno:?}"));
    first([
        differs("RSTs from the server on the wire", rsts.from_server, seen.rsts_from_server),
        differs("RSTs from the client on the wire", rsts.from_client, seen.rsts_from_client),
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
        "sent" if view.coverage.counts_all() => {
            reset.rst_segments.clamp(rsts.saturating_sub(seen.late_rsts), rsts)
        }
        "sent" => reset.rst_segments.min(rsts),
        _ => 1,
    };
    let server = (line.role != "unknown").then_some(view.server);
    first([
        differs("direction", line.direction, reset.direction.as_str()),
        differs("cause", line.cause, reset.cause.as_str()),
        differs("race", line.race, reset.race.as_deref()),
        differs("role", line.role, reset.role.as_str()),
        differs("mechanism", line.mechanism, reset.mechanism.as_deref()),
        differs("errno", line.errno, reset.errno.as_deref()),
        differs("matched", line.matched, reset.matched.as_str()),
        differs("local", local, reset.local),
        differs("remote", remote, reset.remote),
        differs("server", server, reset.server),
        differs("rst_segments", segments, reset.rst_segments),
        reset.requests.and_then(|requests| differs("requests", answered(line, view, requests), requests)),
        wrong_request_line(line, reset, view),
        untrue("idle", seen.idle, reset.idle_seconds),
        untrue("request to reset", seen.request_to_reset, reset.request_to_reset_seconds),
        untrue("FIN to request", seen.fin_to_request, reset.fin_to_request_seconds),
        untrue("since response", seen.since_response, reset.since_response_seconds),
        missing(line.idle, seen.idle, reset.idle_seconds),
    ])
}

/// A request may be unknown, but one that is given must be the last one on the wire.
fn wrong_request_line(line: &Line, reset: &Reset, view: &View) -> Option<String> {
    let reported = RequestLine::reported(reset);
    let wire = &view.evidence.request_line;
    let must_be_known = view.coverage.shows_request_line(line, view.evidence.acknowledged);
    let is_right = if reported.is_none() { !must_be_known || wire.is_none() } else { reported == *wire };
    if reported.is_some() && view.coverage.hides_request_lines() {
        return Some("the tracer says what nobody asked for: a request".to_owned());
    }
    (!is_right).then(|| format!("request: the wire says {wire:?}, the tracer {reported:?}"))
}

/// A client counts the responses that its application has read: one that met its close, or was left there, may be
/// missing.
fn answered(line: &Line, view: &View, counted: u32) -> u32 {
    let answered = view.evidence.answered;
    let may_be_unread = view.side == Side::Client && ["client_abort", "early_close"].contains(&line.cause);
    counted.clamp(answered.saturating_sub(may_be_unread.into()), answered)
}

fn first<const N: usize>(differences: [Option<String>; N]) -> Option<String> {
    differences.into_iter().flatten().next()
}

fn missing(idle: Idle, wire: Option<f64>, tracer: Option<f64>) -> Option<String> {
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

/// The kernel's timestamps tick once per jiffy; a capture and a probe see one packet at slightly different moments.
pub(crate) fn tolerance() -> Duration {
    let jiffy =
        clock_getres(ClockId::CLOCK_MONOTONIC_COARSE).map_or(Duration::from_millis(10), Duration::from);
    jiffy + Duration::from_millis(2)
}
