//! The decision table: each row is a reset as the matcher hands it over, and what it must be called.

use std::time::Duration;

use super::{
    cause::{Cause, Crossing},
    last_request::last_request_line,
    mechanism::{Direction, Errno, Mechanism},
    rules::{RacePolicy, Verdict, classify},
};
use crate::{
    matching::{FirstFin, Found, Incident, Known, Reset, Unmatched},
    model::{LastPayload, Method, RequestLine, Role, Segment, Side, SocketSnapshot, TcpState},
    testing::{
        PAYLOAD_END, asked, bare_ack, client, facts, flow, in_state, ms, reason, request, server, unused,
    },
};

/// Any crossing of a keep-alive race.
const RACE: &str = "keepalive_race";

/// A reset at 3.002 s, of a connection whose socket says what this host is.
fn incident(reset: Reset) -> Incident {
    let incident = Incident {
        at: ms(3_002),
        flow: flow(40_000),
        role: None,
        reset,
        fin: None,
        reason: None,
        segments: 1,
        request_line: None,
    };
    Incident { role: incident.socket().and_then(|socket| socket.role), ..incident }
}

fn received(socket: SocketSnapshot) -> Incident {
    incident(Reset::Received(socket))
}

/// The process closed, and the kernel reset for `why`.
fn closed(why: &str, socket: SocketSnapshot) -> Incident {
    Incident { reason: reason(why), ..incident(Reset::AtClose(socket)) }
}

/// The kernel reset a connection that was in use, for `why`.
fn alive(why: &str, socket: SocketSnapshot) -> Incident {
    Incident { reason: reason(why), ..incident(Reset::InUse(socket)) }
}

/// `segment` met what was left of a connection that this host had closed at 2.900 s.
fn answered(segment: Segment, left: fn(SocketSnapshot) -> Found, socket: SocketSnapshot) -> Incident {
    let established = SocketSnapshot { state: TcpState::Established, ..socket.clone() };
    let fin = Some(FirstFin::new(ms(2_900), Side::Local, &established));
    Incident { fin, ..incident(Reset::Passive { segment, found: left(socket) }) }
}

fn time_wait(socket: SocketSnapshot) -> Found {
    Found::TimeWait(Known::Closed(socket))
}

fn listener(socket: SocketSnapshot) -> Found {
    Found::Listener(Known::Closed(socket))
}

fn no_socket(socket: SocketSnapshot) -> Found {
    Found::NoSocket(Known::Closed(socket))
}

/// `segment` met nothing that this host knows.
fn unknown(segment: Segment, found: fn(Known) -> Found, why: Unmatched) -> Incident {
    let found = found(Known::Nothing(why));
    Incident { role: Some(Role::Server), ..incident(Reset::Passive { segment, found }) }
}

fn with_fin(crossed: bool, incident: Incident) -> Incident {
    let socket = incident.socket().unwrap();
    let fin = FirstFin { crossed, ..FirstFin::new(ms(2_990), Side::Remote, socket) };
    Incident { fin: Some(fin), ..incident }
}

fn orphan(state: TcpState) -> SocketSnapshot {
    SocketSnapshot { orphan: true, ..in_state(state, server()) }
}

fn change(mut socket: SocketSnapshot, change: impl Fn(&mut SocketSnapshot)) -> SocketSnapshot {
    change(&mut socket);
    socket
}

fn classified(incident: &Incident) -> Verdict {
    classify(incident, &facts(), RacePolicy::default())
}

fn check(name: &str, incident: &Incident, cause: Cause, mechanism: Option<Mechanism>) {
    let verdict = classified(incident);
    assert_eq!((verdict.cause, verdict.direction.mechanism()), (cause, mechanism), "{name}");
    assert_eq!(
        verdict.direction == Direction::Received,
        matches!(incident.reset, Reset::Received(_)),
        "{name}"
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn each_reset_is_called_by_its_first_matching_rule() {
    use Cause::*;
    use Mechanism as By;
    let syn = Segment { opening: true, len: 0, ..request(0) };
    let rows = [
        (
            "D: a SYN to a closed port",
            unknown(syn, Found::NoSocket, Unmatched::NoSocket),
            Refused,
            Some(By::NoSocket),
        ),
        ("D, client", received(in_state(TcpState::SynSent, unused(client()))), Refused, None),
        (
            "I: the accept queue overflowed",
            Incident {
                reason: reason("INVALID_SYN"),
                ..unknown(bare_ack(), Found::Listener, Unmatched::NoSocket)
            },
            BacklogOverflow,
            Some(By::Listener),
        ),
        ("K: ss -K", alive("TCP_STATE", server()), Killed, Some(By::Abort)),
        (
            "the listener was closed before it accepted",
            closed("TCP_STATE", SocketSnapshot { detached: true, ..unused(server()) }),
            Killed,
            Some(By::Disconnect),
        ),
        (
            "out of memory",
            alive("TCP_ABORT_ON_MEMORY", orphan(TcpState::FinWait1)),
            OutOfResources,
            Some(By::Memory),
        ),
        ("H: keepalive gave up", alive("TCP_KEEPALIVE_TIMEOUT", server()), TcpKeepalive, Some(By::Keepalive)),
        (
            "a wrong ACK",
            Incident {
                reason: reason("TCP_FLAGS"),
                fin: None,
                ..answered(request(0), Found::Connection, server())
            },
            ProtocolError,
            Some(By::Protocol),
        ),
        (
            "E: nobody knows the segment",
            unknown(request(0), Found::NoSocket, Unmatched::NoSocket),
            StaleConnection,
            Some(By::NoSocket),
        ),
        (
            "E, the listener lives",
            unknown(request(0), Found::Listener, Unmatched::NoSocket),
            StaleConnection,
            Some(By::Listener),
        ),
        (
            "E, just started",
            unknown(request(0), Found::NoSocket, Unmatched::NotSeen),
            Unknown,
            Some(By::NoSocket),
        ),
        (
            "E, the table was full",
            unknown(request(0), Found::NoSocket, Unmatched::Evicted),
            Unknown,
            Some(By::NoSocket),
        ),
        (
            "died of a timeout, its peer did not hear of it",
            Incident { fin: None, ..answered(request(0), no_socket, server()) },
            StaleConnection,
            Some(By::NoSocket),
        ),
        ("HC: a health check, server", received(unused(server())), NoRequest, None),
        (
            "HC: a health check, client",
            closed("TCP_STATE", SocketSnapshot { linger_zero: true, ..unused(client()) }),
            NoRequest,
            Some(By::Linger),
        ),
        (
            "early: answered, then closed unread",
            closed("TCP_ABORT_ON_CLOSE", change(server(), |s| s.traffic.unread = 9)),
            EarlyClose,
            Some(By::UnreadClose),
        ),
        (
            "early: more of it arrives that was sent before the response",
            answered(
                Segment { ack: PAYLOAD_END - 50, ..request(0) },
                Found::Connection,
                orphan(TcpState::FinWait1),
            ),
            EarlyClose,
            Some(By::OrphanData),
        ),
        (
            "G: the client did not read the response",
            closed("TCP_ABORT_ON_CLOSE", change(client(), |s| s.traffic.unread = 9)),
            ClientAbort,
            Some(By::UnreadClose),
        ),
        ("G, server", received(server()), AfterResponse, None),
        (
            "G2: the response met a client that had closed",
            answered(request(1), time_wait, client()),
            ClientAbort,
            Some(By::TimeWait),
        ),
        (
            "G2, server",
            received(in_state(TcpState::CloseWait, change(server(), |s| s.traffic.unacknowledged = 50))),
            ClientAbort,
            None,
        ),
        ("the client gave up waiting, server", received(asked()), ClientAbort, None),
        (
            "C: reset while the server worked",
            closed("TCP_STATE", SocketSnapshot { linger_zero: true, ..asked() }),
            AwaitingResponse,
            Some(By::Linger),
        ),
        (
            "C: reset while idle",
            closed("TCP_STATE", SocketSnapshot { linger_zero: true, ..server() }),
            AfterResponse,
            Some(By::Linger),
        ),
        (
            "C2: linger2 below 0",
            Incident {
                reason: reason("TCP_ABORT_ON_DATA"),
                ..answered(bare_ack(), Found::Connection, orphan(TcpState::FinWait2))
            },
            AfterResponse,
            Some(By::Linger),
        ),
        (
            "the first request met a server that had given up",
            answered(
                request(0),
                Found::Connection,
                change(orphan(TcpState::FinWait1), |s| *s = unused(s.clone())),
            ),
            AwaitingResponse,
            Some(By::OrphanData),
        ),
        (
            "which payload came last is not known",
            closed(
                "TCP_STATE",
                SocketSnapshot {
                    linger_zero: true,
                    ..change(server(), |s| s.traffic.last_payload = LastPayload::Unknown)
                },
            ),
            Unknown,
            Some(By::Linger),
        ),
        ("who opened is not known", received(SocketSnapshot { role: None, ..server() }), Unknown, None),
        (
            "a time-wait socket whose connection nobody saw",
            Incident { role: None, ..unknown(request(1), Found::TimeWait, Unmatched::NotSeen) },
            Unknown,
            Some(By::TimeWait),
        ),
    ];
    for (name, reset, cause, mechanism) in rows {
        check(name, &reset, cause, mechanism);
    }
}

#[test]
fn races_tell_which_crossing_they_were() {
    use Mechanism as By;
    let close_wait = || SocketSnapshot { peer_fin: true, ..in_state(TcpState::CloseWait, client()) };
    let acknowledged = || change(client(), |s| s.traffic.unacknowledged = 0);
    let rows = [
        (
            "A1: sent before the FIN arrived",
            answered(request(0), Found::Connection, orphan(TcpState::FinWait1)),
            Crossing::FinInFlight,
            Some(By::OrphanData),
        ),
        (
            "A2: the client's kernel had the FIN",
            answered(request(1), time_wait, in_state(TcpState::TimeWait, server())),
            Crossing::FinUnprocessed,
            Some(By::TimeWait),
        ),
        (
            "A3: likewise, in a full FIN_WAIT2",
            answered(request(1), Found::Connection, orphan(TcpState::FinWait2)),
            Crossing::FinUnprocessed,
            Some(By::OrphanData),
        ),
        (
            "J: likewise, after the time-wait ended",
            answered(request(1), listener, server()),
            Crossing::FinUnprocessed,
            Some(By::Listener),
        ),
        (
            "B: queued before the close",
            closed("TCP_ABORT_ON_CLOSE", change(asked(), |s| s.traffic.unread = 100)),
            Crossing::FinNotSent,
            Some(By::UnreadClose),
        ),
        ("A1, client", with_fin(true, received(close_wait())), Crossing::FinInFlight, None),
        ("A2, client", with_fin(false, received(close_wait())), Crossing::FinUnprocessed, None),
        ("B, client, the request was acknowledged", received(acknowledged()), Crossing::FinNotSent, None),
        ("B, client, it was not", received(client()), Crossing::Unknown, None),
    ];
    for (name, reset, crossing, mechanism) in rows {
        check(name, &reset, Cause::KeepaliveRace(crossing), mechanism);
    }
}

#[test]
fn without_a_fin_a_late_reset_is_no_race() {
    let late = |milliseconds: u64| Incident { at: ms(3_000 + milliseconds), ..received(client()) };
    // Two round trips of 1 ms, 5 ms margin, and one jiffy of 4 ms that the kernel's times may be off.
    assert_eq!(classified(&late(11)).cause.name(), RACE);
    assert_eq!(classified(&late(12)).cause, Cause::AwaitingResponse);
    let patient = RacePolicy { window: Some(Duration::from_millis(100)) };
    let cause = classify(&late(100), &facts(), patient).cause;
    assert!(matches!(cause, Cause::KeepaliveRace(_)), "{cause:?}");
}

#[test]
fn a_first_request_is_never_a_race_for_its_client() {
    let first = change(client(), |s| s.traffic.received = 0);
    assert_eq!(classified(&received(first.clone())).cause, Cause::AwaitingResponse);
    assert_eq!(classified(&with_fin(true, received(first))).cause, Cause::AwaitingResponse);
}

#[test]
fn older_kernels_without_reasons_give_the_same_mechanisms() {
    let unread = change(asked(), |s| s.traffic.unread = 100);
    let rows = [
        (closed("", unread), Mechanism::UnreadClose),
        (closed("", SocketSnapshot { linger_zero: true, ..server() }), Mechanism::Linger),
        (closed("", SocketSnapshot { detached: true, ..unused(server()) }), Mechanism::Disconnect),
        (alive("", server()), Mechanism::Abort),
        (alive("", SocketSnapshot { probes_out: 3, ..server() }), Mechanism::Keepalive),
        (answered(request(0), Found::Connection, orphan(TcpState::FinWait1)), Mechanism::OrphanData),
        (closed("", server()), Mechanism::Unknown),
    ];
    for (reset, mechanism) in rows {
        assert_eq!(classified(&reset).direction, Direction::Sent(mechanism), "{reset:?}");
    }
}

#[test]
fn the_application_sees_what_the_state_of_its_socket_says() {
    let rows = [
        (received(in_state(TcpState::SynSent, unused(client()))), Some(Errno::ConnRefused)),
        (received(client()), Some(Errno::ConnReset)),
        (received(in_state(TcpState::CloseWait, client())), Some(Errno::Pipe)),
        (received(orphan(TcpState::FinWait2)), None),
        (alive("TCP_KEEPALIVE_TIMEOUT", server()), Some(Errno::TimedOut)),
        (alive("TCP_STATE", server()), Some(Errno::ConnAborted)),
        (closed("TCP_ABORT_ON_CLOSE", server()), None),
        (answered(request(1), time_wait, server()), None),
    ];
    for (reset, errno) in rows {
        assert_eq!(classified(&reset).errno, errno, "{reset:?}");
    }
}

#[test]
fn times_are_those_of_the_last_request() {
    let milliseconds = |duration: Option<Duration>| duration.map(|duration| duration.as_millis());
    // (reset, idle, request to reset, since the response)
    let rows = [
        ("client", received(client()), Some(1_990), Some(2), Some(1_992)),
        (
            "server, the segment is the request",
            answered(request(0), Found::Connection, orphan(TcpState::FinWait1)),
            Some(1_992),
            Some(0),
            Some(1_992),
        ),
        (
            "server, the request was queued",
            closed("TCP_ABORT_ON_CLOSE", change(asked(), |s| s.traffic.unread = 100)),
            Some(1_990),
            Some(2),
            Some(1_992),
        ),
        (
            "no request open",
            closed("TCP_STATE", SocketSnapshot { linger_zero: true, ..server() }),
            None,
            None,
            Some(1_992),
        ),
        ("nothing known", unknown(request(0), Found::NoSocket, Unmatched::NoSocket), None, None, None),
    ];
    for (name, reset, idle, to_reset, since_response) in rows {
        let verdict = classified(&reset);
        assert_eq!(milliseconds(verdict.idle), idle, "{name}");
        assert_eq!(milliseconds(verdict.request_to_reset), to_reset, "{name}");
        assert_eq!(milliseconds(verdict.since_response), since_response, "{name}");
    }
}

#[test]
fn the_fin_comes_after_a_request_that_crossed_it_and_before_one_that_did_not() {
    let close_wait = || in_state(TcpState::CloseWait, client());
    // Jiffies put the request at 3.000 s and the FIN at 2.990 s: the crossing itself says which was first.
    let crossed = classified(&with_fin(true, received(close_wait()))).fin_to_request;
    assert!(crossed.is_some_and(|seconds| seconds <= 0.0), "{crossed:?}");
    let after = classified(&with_fin(false, received(close_wait()))).fin_to_request;
    assert!(after.is_some_and(|seconds| (seconds - 0.010).abs() < 1e-9), "{after:?}");
}

/// A server that said its last word, 31 bytes, with its FIN at 2.900 s; the response had been sent at 1.010 s.
fn last_word_server() -> SocketSnapshot {
    change(server(), |s| {
        s.traffic.last_sent = ms(2_900);
        s.traffic.sent += 31;
        s.traffic.payload_end += 31;
        s.traffic.unacknowledged = 31;
    })
}

/// Its client, which sent its request at 1.000 s and got 31 bytes and a FIN at 2.900 s.
fn last_word_client() -> SocketSnapshot {
    change(client(), |s| {
        s.traffic.last_sent = ms(1_000);
        s.traffic.last_received = ms(2_900);
        s.traffic.last_payload = LastPayload::Remote;
        s.traffic.unacknowledged = 0;
        s.traffic.unread = 31;
    })
}

#[test]
fn the_answer_to_a_last_word_is_no_request_and_a_request_after_one_still_is() {
    let met = |segment| answered(segment, time_wait, in_state(TcpState::TimeWait, last_word_server()));
    let end = last_word_server().traffic.payload_end;
    let request = Segment { ack: end + 1, ..request(0) };
    let crossing = Segment { ack: PAYLOAD_END, ..request };
    let verdict = |incident| {
        let verdict = classified(&incident);
        (verdict.cause, verdict.idle.map(|idle| idle.as_millis()))
    };
    assert_eq!(verdict(met(Segment { len: 31, ..request })), (Cause::Unknown, None), "a close_notify");
    // Counted from the last request: the last word took the place of the response's time.
    let race = |crossing| (Cause::KeepaliveRace(crossing), Some(2_002));
    assert_eq!(verdict(met(request)), race(Crossing::FinUnprocessed));
    assert_eq!(verdict(met(crossing)), race(Crossing::FinInFlight), "it need not have had the last word");
}

#[test]
fn a_client_that_answers_a_last_word_was_not_in_a_race() {
    let fin = Some(FirstFin::new(ms(2_900), Side::Remote, &last_word_client()));
    let sent = |bytes| {
        let socket = change(in_state(TcpState::CloseWait, last_word_client()), |s| {
            s.traffic.last_sent = ms(3_000);
            s.traffic.last_payload = LastPayload::Local;
            s.traffic.unacknowledged = bytes;
        });
        classified(&Incident { fin, ..received(socket) })
    };
    assert_eq!(sent(24).cause, Cause::Unknown);
    let race = sent(200);
    assert_eq!(race.cause, Cause::KeepaliveRace(Crossing::FinUnprocessed));
    assert_eq!(race.idle.map(|idle| idle.as_millis()), Some(2_000));
}

#[test]
fn unread_payload_is_the_next_request_only_if_the_response_had_arrived_before() {
    let unread = |change: fn(&mut SocketSnapshot)| {
        let mut socket = asked();
        socket.traffic.unread = 100;
        change(&mut socket);
        classified(&closed("TCP_ABORT_ON_CLOSE", socket)).cause.name()
    };
    let at_once = |s: &mut SocketSnapshot| s.traffic.last_received = s.traffic.last_sent;
    assert_eq!(unread(|_| {}), RACE, "long after the response");
    assert_eq!(unread(|s| s.traffic.unread_sent_after_full_ack = true), RACE, "it acknowledged the response");
    assert_eq!(unread(at_once), Cause::Unknown.name(), "within a jiffy either is possible");
    let slow_path = |s: &mut SocketSnapshot| {
        s.traffic.last_received = s.traffic.last_sent;
        s.traffic.srtt = Some(Duration::from_millis(80));
    };
    assert_eq!(unread(slow_path), Cause::EarlyClose.name(), "no answer can be back that soon");
    assert_eq!(unread(|s| s.traffic.last_payload = LastPayload::Local), Cause::EarlyClose.name());
    assert_eq!(unread(|s| s.traffic.sent = 0), Cause::AwaitingResponse.name());
}

#[test]
fn a_server_that_resets_after_its_client_closed_is_not_to_blame() {
    let left = |socket: SocketSnapshot| {
        let socket = SocketSnapshot { peer_fin: true, ..in_state(TcpState::CloseWait, socket) };
        classified(&closed("TCP_ABORT_ON_CLOSE", change(socket, |s| s.traffic.unread = 50))).cause
    };
    assert_eq!(left(asked()), Cause::ClientAbort);
    assert_eq!(left(server()), Cause::AfterResponse);
}

#[test]
fn a_retransmitted_request_has_no_time_and_makes_no_race() {
    let again = change(client(), |s| s.traffic.retransmitting = true);
    let verdict = classified(&received(again));
    assert_eq!(
        (verdict.cause, verdict.idle, verdict.request_to_reset),
        (Cause::AwaitingResponse, None, None)
    );
}

#[test]
fn a_long_request_right_behind_a_response_and_a_fin_is_a_new_one() {
    let close_wait = change(in_state(TcpState::CloseWait, client()), |s| {
        s.traffic.unsent = 60_000;
        s.traffic.last_received = s.traffic.last_sent;
    });
    let cause = |reset: Incident| classified(&reset).cause.name();
    assert_eq!(cause(received(close_wait.clone())), RACE, "all had been acknowledged");
    assert_eq!(cause(with_fin(false, received(close_wait.clone()))), RACE);
    assert_eq!(
        cause(with_fin(true, received(close_wait))),
        Cause::EarlyClose.name(),
        "it was under way already"
    );
}

#[test]
fn a_client_still_sending_when_the_answer_came_was_closed_on_early() {
    let uploading = change(client(), |s| {
        s.traffic.last_payload = LastPayload::Remote;
        s.traffic.unsent = 100_000;
    });
    assert_eq!(classified(&received(uploading)).cause, Cause::EarlyClose);
}

#[test]
fn a_request_line_is_the_last_requests_if_the_client_sent_it_and_nothing_came_after() {
    let with = |by, superseded| {
        let line = RequestLine { method: Method::Get, path: None, by, superseded };
        Incident { request_line: Some(Box::new(line)), ..received(server()) }
    };
    let race = Cause::KeepaliveRace(Crossing::Unknown);
    for (what, incident, cause, is_known) in [
        ("by the client", with(Side::Remote, false), race, true),
        ("a server asks for nothing", with(Side::Local, false), race, false),
        ("another request came after it", with(Side::Remote, true), race, false),
        ("it was still being sent", with(Side::Remote, true), Cause::EarlyClose, true),
    ] {
        assert_eq!(last_request_line(&incident, cause).is_some(), is_known, "{what}");
    }
}
