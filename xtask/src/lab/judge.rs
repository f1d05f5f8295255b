//! Compares what the tracer said of a host with what the wire proves and the scenario expects.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::time::Duration;

use nix::errno::Errno;
use nix::time::{ClockId, clock_getres};

use super::event::Reset;
use super::scenario::{Idle, Line, QUIET, Rsts};
use super::wire::{Evidence, Side};

/// What is known of one host after a scenario.
pub(super) struct View<'a> {
    pub(super) side: Side,
    pub(super) client: SocketAddr,
    pub(super) server: SocketAddr,
    pub(super) evidence: &'a Evidence,
    /// What the host's application got from its socket.
    pub(super) errno: Option<Errno>,
    /// What the tracer said of the host's namespace; `None` if it was not asked.
    pub(super) resets: Option<&'a [Reset]>,
}

/// The first way in which `view` is not as expected.
pub(super) fn difference(expected: Option<&Line>, rsts: Rsts, view: &View) -> Option<String> {
    played(expected, rsts, view).or_else(|| told(expected, view))
}

/// Is the scenario itself what it says, by the wire and by the applications?
fn played(expected: Option<&Line>, rsts: Rsts, view: &View) -> Option<String> {
    // A host that the tracer has nothing to say of has seen no RST.
    let rsts = if expected.is_some() { rsts } else { QUIET };
    let evidence = view.evidence;
    differs(
        "RSTs from the server on the wire",
        rsts.from_server,
        evidence.rsts_from_server,
    )
    .or_else(|| {
        differs(
            "RSTs from the client on the wire",
            rsts.from_client,
            evidence.rsts_from_client,
        )
    })
    .or_else(|| {
        let line = expected?;
        let errno = view.errno.map(|errno| format!("{errno:?}"));
        let race = || {
            differs(
                "race on the wire",
                line.race,
                evidence.race.filter(|_| line.race.is_some()),
            )
        };
        differs("the application's errno", line.errno, errno.as_deref()).or_else(race)
    })
}

fn told(expected: Option<&Line>, view: &View) -> Option<String> {
    let resets = view.resets?;
    let (line, reset) = match (expected, resets) {
        (None, []) => return None,
        (None, [reset, ..]) => {
            return Some(format!(
                "the tracer should be silent, but says {}",
                describe(reset)
            ));
        }
        (Some(_), []) => return Some("the tracer says nothing".to_owned()),
        (Some(_), [_, second, ..]) => {
            return Some(format!("the tracer also says {}", describe(second)));
        }
        (Some(line), [reset]) => (line, reset),
    };
    let (local, remote) = match view.side {
        Side::Client => (view.client, view.server),
        Side::Server | Side::Standby => (view.server, view.client),
    };
    let server = (line.role != "unknown").then_some(view.server);
    let evidence = view.evidence;
    // A RST that finds no socket leaves no trace where it arrives: one socket, one segment.
    let segments = match (line.direction, view.side) {
        ("received", _) => 1,
        (_, Side::Client) => evidence.rsts_from_client,
        (_, Side::Server | Side::Standby) => evidence.rsts_from_server,
    };
    differs("direction", line.direction, reset.direction.as_str())
        .or_else(|| differs("cause", line.cause, reset.cause.as_str()))
        .or_else(|| differs("race", line.race, reset.race.as_deref()))
        .or_else(|| differs("role", line.role, reset.role.as_str()))
        .or_else(|| differs("mechanism", line.mechanism, reset.mechanism.as_deref()))
        .or_else(|| differs("errno", line.errno, reset.errno.as_deref()))
        .or_else(|| differs("matched", line.matched, reset.matched.as_str()))
        .or_else(|| differs("local", local, reset.local))
        .or_else(|| differs("remote", remote, reset.remote))
        .or_else(|| differs("server", server, reset.server))
        .or_else(|| differs("rst_segments", segments, reset.rst_segments))
        .or_else(|| untrue("idle_seconds", evidence.idle, reset.idle_seconds))
        .or_else(|| {
            untrue(
                "request_to_reset_seconds",
                evidence.request_to_reset,
                reset.request_to_reset_seconds,
            )
        })
        .or_else(|| {
            untrue(
                "fin_to_request_seconds",
                evidence.fin_to_request,
                reset.fin_to_request_seconds,
            )
        })
        .or_else(|| {
            untrue(
                "since_response_seconds",
                evidence.since_response,
                reset.since_response_seconds,
            )
        })
        .or_else(|| {
            let missing = line.idle == Idle::Demanded && reset.idle_seconds.is_none();
            missing.then(|| {
                format!(
                    "idle_seconds is unknown to the tracer, the wire says {:.4}",
                    evidence.idle.unwrap_or(f64::NAN)
                )
            })
        })
}

fn differs<T: Copy + PartialEq + Debug>(what: &str, expected: T, found: T) -> Option<String> {
    (expected != found).then(|| format!("{what}: expected {expected:?}, found {found:?}"))
}

/// A time may be unknown, but if the tracer gives one the wire must bear it out.
fn untrue(what: &str, wire: Option<f64>, tracer: Option<f64>) -> Option<String> {
    let said = tracer?;
    let Some(seen) = wire else {
        return Some(format!(
            "{what}: the tracer says {said:.4}, the wire knows of none"
        ));
    };
    ((said - seen).abs() > tolerance().as_secs_f64())
        .then(|| format!("{what}: the wire says {seen:.4}, the tracer {said:.4}"))
}

/// The kernel's timestamps tick once per jiffy; a capture and a probe see one packet at slightly different moments.
fn tolerance() -> Duration {
    let jiffy = clock_getres(ClockId::CLOCK_MONOTONIC_COARSE)
        .map_or(Duration::from_millis(10), Duration::from);
    jiffy + Duration::from_millis(2)
}

/// What the wire shows of the RSTs and the last request.
pub(super) fn describe_wire(evidence: &Evidence) -> String {
    let mut parts = Vec::new();
    for (from_to, count) in [
        ("S→C", evidence.rsts_from_server),
        ("C→S", evidence.rsts_from_client),
    ] {
        match count {
            0 => {}
            1 => parts.push(format!("{from_to} R")),
            _ => parts.push(format!("{from_to} R×{count}")),
        }
    }
    if parts.is_empty() {
        parts.push("no RST".to_owned());
    }
    parts.extend(evidence.idle.map(|idle| format!("idle {idle:.3} s")));
    parts.extend(
        evidence
            .request_to_reset
            .map(|time| format!("reset after {:.1} ms", time * 1e3)),
    );
    parts.join(", ")
}

/// The tracer's line in short.
pub(super) fn describe(reset: &Reset) -> String {
    let mut words = vec![
        reset.direction.clone(),
        reset.role.clone(),
        reset.cause.clone(),
    ];
    if let Some(race) = &reset.race {
        words[2] = format!("{}/{race}", reset.cause);
    }
    words.extend(reset.mechanism.clone());
    words.extend(reset.errno.clone());
    if reset.rst_segments > 1 {
        words.push(format!("R×{}", reset.rst_segments));
    }
    words.push(
        reset
            .idle_seconds
            .map_or("idle unknown".to_owned(), |idle| format!("idle {idle:.3}")),
    );
    words.join(" ")
}
