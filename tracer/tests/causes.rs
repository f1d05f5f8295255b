//! The decision table: each row is a reset as the matcher hands it over, and what it must be called.

mod support;

use std::time::Duration;

use support::{asked, bare_ack, client, flow, in_state, ms, reason, request, rules, server, unused};
use tracer::{
    cause::{Cause, Errno, Mechanism, Race},
    classify::{Verdict, classify},
    event::{LastPayload, Role, Segment, Side, Socket, TcpState},
    fin::Fin,
    matched::{Holder, Matched, MatchedReset, Trigger, Unmatched},
};

/// A reset at 3.002 s on the connection's own socket.
fn reset(trigger: Trigger, socket: Socket) -> MatchedReset {
    MatchedReset {
        id: 0,
        at: ms(3_002),
        flow: flow(40_000),
        role: socket.role,
        trigger,
        holder: Holder::Connection,
        state: Some(socket.state),
        socket: Some(socket),
        fin: None,
        matched: Matched::Socket,
        reason: None,
        own_abort: false,
        segments: 1,
        request_line: None,
    }
}

fn received(socket: Socket) -> MatchedReset {
    reset(Trigger::Received, socket)
}

/// The process closed, and the kernel reset for `why`.
fn closed(why: &str, socket: Socket) -> MatchedReset {
    MatchedReset { reason: reason(why), ..reset(Trigger::Active { after_close: true }, socket) }
}

/// The kernel reset a connection that was in use, for `why`.
fn alive(why: &str, socket: Socket) -> MatchedReset {
    MatchedReset { reason: reason(why), ..reset(Trigger::Active { after_close: false }, socket) }
}

/// `segment` met what was left of a connection that this host had closed at 2.900 s.
fn answered(segment: Segment, holder: Holder, socket: Socket) -> MatchedReset {
    let fin =
        Some(Fin::new(ms(2_900), Side::Local, &Socket { state: TcpState::Established, ..socket.clone() }));
    let matched = if holder == Holder::Connection { Matched::Socket } else { Matched::Closed };
    MatchedReset { holder, matched, fin, ..reset(Trigger::Passive(segment), socket) }
}

/// `segment` met nothing that this host knows.
fn unknown(segment: Segment, holder: Holder, why: Unmatched) -> MatchedReset {
    MatchedReset {
        role: Role::Server,
        holder,
        socket: None,
        state: None,
        matched: Matched::None(why),
        ..reset(Trigger::Passive(segment), server())
    }
}

fn with_fin(crossed: bool, reset: MatchedReset) -> MatchedReset {
    let socket = reset.socket.clone().unwrap();
    let fin = Fin { crossed, ..Fin::new(ms(2_990), Side::Remote, &socket) };
    MatchedReset { fin: Some(fin), ..reset }
}

fn orphan(state: TcpState) -> Socket {
    Socket { orphan: true, ..in_state(state, server()) }
}

fn change(mut socket: Socket, change: impl Fn(&mut Socket)) -> Socket {
    change(&mut socket);
    socket
}

fn check(
    name: &str,
    reset: &MatchedReset,
    cause: Cause,
    race: Option<Race>,
    mechanism: Option<Mechanism>,
) -> Verdict {
    let verdict = classify(reset, &rules());
    assert_eq!((verdict.cause, verdict.race, verdict.mechanism), (cause, race, mechanism), "{name}");
    verdict
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
            unknown(syn, Holder::NoSocket, Unmatched::NoSocket),
            Refused,
            Some(By::NoSocket),
        ),
        ("D, client", received(in_state(TcpState::SynSent, unused(client()))), Refused, None),
        (
            "I: the accept queue overflowed",
            MatchedReset {
                reason: reason("INVALID_SYN"),
                ..unknown(bare_ack(), Holder::Listener, Unmatched::NoSocket)
            },
            BacklogOverflow,
            Some(By::Listener),
        ),
        ("K: ss -K", alive("TCP_STATE", server()), Killed, Some(By::Abort)),
        (
            "the listener was closed before it accepted",
            closed("TCP_STATE", Socket { no_file: true, ..unused(server()) }),
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
            MatchedReset { reason: reason("TCP_FLAGS"), ..reset(Trigger::Passive(request(0)), server()) },
            ProtocolError,
            Some(By::Protocol),
        ),
        (
            "E: nobody knows the segment",
            unknown(request(0), Holder::NoSocket, Unmatched::NoSocket),
            StaleConnection,
            Some(By::NoSocket),
        ),
        (
            "E, the listener lives",
            unknown(request(0), Holder::Listener, Unmatched::NoSocket),
            StaleConnection,
            Some(By::Listener),
        ),
        (
            "E, just started",
            unknown(request(0), Holder::NoSocket, Unmatched::NotSeen),
            Unknown,
            Some(By::NoSocket),
        ),
        (
            "E, the table was full",
            unknown(request(0), Holder::NoSocket, Unmatched::Evicted),
            Unknown,
            Some(By::NoSocket),
        ),
        (
            "died of a timeout, its peer did not hear of it",
            MatchedReset { fin: None, ..answered(request(0), Holder::NoSocket, server()) },
            StaleConnection,
            Some(By::NoSocket),
        ),
        ("connect-and-reset: a health check, server", received(unused(server())), NoRequest, None),
        (
            "connect-and-reset: a health check, client",
            closed("TCP_STATE", Socket { linger_zero: true, ..unused(client()) }),
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
                Segment { ack: support::PAYLOAD_END - 50, ..request(0) },
                Holder::Connection,
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
            "response-after-close: the response met a client that had closed",
            answered(request(1), Holder::TimeWait, client()),
            ClientAbort,
            Some(By::TimeWait),
        ),
        (
            "response-after-close, server",
            received(in_state(TcpState::CloseWait, change(server(), |s| s.traffic.unacknowledged = 50))),
            ClientAbort,
            None,
        ),
        ("the client gave up waiting, server", received(asked()), ClientAbort, None),
        (
            "C: reset while the server worked",
            closed("TCP_STATE", Socket { linger_zero: true, ..asked() }),
            AwaitingResponse,
            Some(By::Linger),
        ),
        (
            "C: reset while idle",
            closed("TCP_STATE", Socket { linger_zero: true, ..server() }),
            AfterResponse,
            Some(By::Linger),
        ),
        (
            "linger2-negative: TCP_LINGER2 below 0",
            MatchedReset {
                reason: reason("TCP_ABORT_ON_DATA"),
                ..answered(bare_ack(), Holder::Connection, orphan(TcpState::FinWait2))
            },
            AfterResponse,
            Some(By::Linger),
        ),
        (
            "the first request met a server that had given up",
            answered(
                request(0),
                Holder::Connection,
                change(orphan(TcpState::FinWait1), |s| *s = unused(s.clone())),
            ),
            AwaitingResponse,
            Some(By::OrphanData),
        ),
        (
            "which payload came last is not known",
            closed(
                "TCP_STATE",
                Socket {
                    linger_zero: true,
                    ..change(server(), |s| s.traffic.last_payload = LastPayload::Unknown)
                },
            ),
            Unknown,
            Some(By::Linger),
        ),
        ("who opened is not known", received(Socket { role: Role::Unknown, ..server() }), Unknown, None),
        (
            "a time-wait socket whose connection nobody saw",
            MatchedReset { role: Role::Unknown, ..unknown(request(1), Holder::TimeWait, Unmatched::NotSeen) },
            Unknown,
            Some(By::TimeWait),
        ),
    ];
    for (name, reset, cause, mechanism) in rows {
        check(name, &reset, cause, None, mechanism);
    }
}

#[test]
fn races_tell_which_crossing_they_were() {
    use Mechanism as By;
    let close_wait = || Socket { peer_fin: true, ..in_state(TcpState::CloseWait, client()) };
    let acknowledged = || change(client(), |s| s.traffic.unacknowledged = 0);
    let rows = [
        (
            "race-fin-in-flight: sent before the FIN arrived",
            answered(request(0), Holder::Connection, orphan(TcpState::FinWait1)),
            Race::FinInFlight,
            Some(By::OrphanData),
        ),
        (
            "race-fin-unprocessed: the client's kernel had the FIN",
            answered(request(1), Holder::TimeWait, in_state(TcpState::TimeWait, server())),
            Race::FinUnprocessed,
            Some(By::TimeWait),
        ),
        (
            "race-fin-wait2: likewise, in FIN_WAIT2",
            answered(request(1), Holder::Connection, orphan(TcpState::FinWait2)),
            Race::FinUnprocessed,
            Some(By::OrphanData),
        ),
        (
            "J: likewise, after the time-wait ended",
            answered(request(1), Holder::Listener, server()),
            Race::FinUnprocessed,
            Some(By::Listener),
        ),
        (
            "B: queued before the close",
            closed("TCP_ABORT_ON_CLOSE", change(asked(), |s| s.traffic.unread = 100)),
            Race::FinNotSent,
            Some(By::UnreadClose),
        ),
        ("race-fin-in-flight, client", with_fin(true, received(close_wait())), Race::FinInFlight, None),
        ("race-fin-unprocessed, client", with_fin(false, received(close_wait())), Race::FinUnprocessed, None),
        ("B, client, the request was acknowledged", received(acknowledged()), Race::FinNotSent, None),
        ("B, client, it was not", received(client()), Race::Unknown, None),
    ];
    for (name, reset, race, mechanism) in rows {
        check(name, &reset, Cause::KeepaliveRace, Some(race), mechanism);
    }
}

#[test]
fn without_a_fin_a_late_reset_is_no_race() {
    let late = |milliseconds: u64| MatchedReset { at: ms(3_000 + milliseconds), ..received(client()) };
    // Two round trips of 1 ms, 5 ms margin, and one jiffy of 4 ms that the kernel's times may be off.
    assert_eq!(classify(&late(11), &rules()).cause, Cause::KeepaliveRace);
    assert_eq!(classify(&late(12), &rules()).cause, Cause::AwaitingResponse);
    let mut patient = rules();
    patient.race_window = Some(Duration::from_millis(100));
    assert_eq!(classify(&late(100), &patient).cause, Cause::KeepaliveRace);
}

#[test]
fn a_first_request_is_never_a_race_for_its_client() {
    let first = change(client(), |s| s.traffic.received = 0);
    assert_eq!(classify(&received(first.clone()), &rules()).cause, Cause::AwaitingResponse);
    assert_eq!(classify(&with_fin(true, received(first)), &rules()).cause, Cause::AwaitingResponse);
}

#[test]
fn older_kernels_without_reasons_give_the_same_mechanisms() {
    let unread = change(asked(), |s| s.traffic.unread = 100);
    let rows = [
        (closed("", unread), Mechanism::UnreadClose),
        (closed("", Socket { linger_zero: true, ..server() }), Mechanism::Linger),
        (closed("", Socket { no_file: true, ..unused(server()) }), Mechanism::Disconnect),
        (alive("", server()), Mechanism::Abort),
        (alive("", Socket { probes_out: 3, ..server() }), Mechanism::Keepalive),
        (answered(request(0), Holder::Connection, orphan(TcpState::FinWait1)), Mechanism::OrphanData),
        (closed("", server()), Mechanism::Unknown),
    ];
    for (reset, mechanism) in rows {
        assert_eq!(classify(&reset, &rules()).mechanism, Some(mechanism), "{reset:?}");
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
        (answered(request(1), Holder::TimeWait, server()), None),
    ];
    for (reset, errno) in rows {
        assert_eq!(classify(&reset, &rules()).errno, errno, "{reset:?}");
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
            answered(request(0), Holder::Connection, orphan(TcpState::FinWait1)),
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
            closed("TCP_STATE", Socket { linger_zero: true, ..server() }),
            None,
            None,
            Some(1_992),
        ),
        ("nothing known", unknown(request(0), Holder::NoSocket, Unmatched::NoSocket), None, None, None),
    ];
    for (name, reset, idle, to_reset, since_response) in rows {
        let verdict = classify(&reset, &rules());
        assert_eq!(milliseconds(verdict.idle), idle, "{name}");
        assert_eq!(milliseconds(verdict.request_to_reset), to_reset, "{name}");
        assert_eq!(milliseconds(verdict.since_response), since_response, "{name}");
    }
}

#[test]
fn the_fin_comes_after_a_request_that_crossed_it_and_before_one_that_did_not() {
    let close_wait = || in_state(TcpState::CloseWait, client());
    // Jiffies put the request at 3.000 s and the FIN at 2.990 s: the crossing itself says which was first.
    let crossed = classify(&with_fin(true, received(close_wait())), &rules()).fin_to_request;
    assert!(crossed.is_some_and(|seconds| seconds <= 0.0), "{crossed:?}");
    let after = classify(&with_fin(false, received(close_wait())), &rules()).fin_to_request;
    assert!(after.is_some_and(|seconds| (seconds - 0.010).abs() < 1e-9), "{after:?}");
}

/// A server that said farewell, 31 bytes, with its FIN at 2.900 s; the response had been sent at 1.010 s.
fn farewell_server() -> Socket {
    change(server(), |s| {
        s.traffic.last_sent = ms(2_900);
        s.traffic.sent += 31;
        s.traffic.payload_end += 31;
        s.traffic.unacknowledged = 31;
    })
}

/// Its client, which sent its request at 1.000 s and got 31 bytes and a FIN at 2.900 s.
fn farewell_client() -> Socket {
    change(client(), |s| {
        s.traffic.last_sent = ms(1_000);
        s.traffic.last_received = ms(2_900);
        s.traffic.last_payload = LastPayload::Remote;
        s.traffic.unacknowledged = 0;
        s.traffic.unread = 31;
    })
}

#[test]
fn the_answer_to_a_farewell_is_no_request_and_a_request_after_one_still_is() {
    let met = |segment| {
        let socket = in_state(TcpState::TimeWait, farewell_server());
        let reset = answered(segment, Holder::TimeWait, farewell_server());
        MatchedReset { socket: Some(socket), ..reset }
    };
    let end = farewell_server().traffic.payload_end;
    let request = Segment { ack: end + 1, ..request(0) };
    let crossing = Segment { ack: support::PAYLOAD_END, ..request };
    let verdict = |reset| {
        let verdict = classify(&reset, &rules());
        (verdict.cause, verdict.race, verdict.idle.map(|idle| idle.as_millis()))
    };
    assert_eq!(verdict(met(Segment { len: 31, ..request })), (Cause::Unknown, None, None), "a close_notify");
    // Counted from the last request: the farewell took the place of the response's time.
    let race = |race| (Cause::KeepaliveRace, Some(race), Some(2_002));
    assert_eq!(verdict(met(request)), race(Race::FinUnprocessed));
    assert_eq!(verdict(met(crossing)), race(Race::FinInFlight), "it need not have had the farewell");
}

#[test]
fn a_client_that_answers_a_farewell_was_not_in_a_race() {
    let fin = Some(Fin::new(ms(2_900), Side::Remote, &farewell_client()));
    let sent = |bytes| {
        let socket = change(in_state(TcpState::CloseWait, farewell_client()), |s| {
            s.traffic.last_sent = ms(3_000);
            s.traffic.last_payload = LastPayload::Local;
            s.traffic.unacknowledged = bytes;
        });
        classify(&MatchedReset { fin, ..received(socket) }, &rules())
    };
    assert_eq!(sent(24).cause, Cause::Unknown);
    let race = sent(200);
    assert_eq!((race.cause, race.race), (Cause::KeepaliveRace, Some(Race::FinUnprocessed)));
    assert_eq!(race.idle.map(|idle| idle.as_millis()), Some(2_000));
}

#[test]
fn unread_payload_is_the_next_request_only_if_the_response_had_arrived_before() {
    let unread = |change: fn(&mut Socket)| {
        let mut socket = asked();
        socket.traffic.unread = 100;
        change(&mut socket);
        classify(&closed("TCP_ABORT_ON_CLOSE", socket), &rules()).cause
    };
    let at_once = |s: &mut Socket| s.traffic.last_received = s.traffic.last_sent;
    assert_eq!(unread(|_| {}), Cause::KeepaliveRace, "long after the response");
    assert_eq!(
        unread(|s| s.traffic.unread_knew_all = true),
        Cause::KeepaliveRace,
        "it acknowledged the response"
    );
    assert_eq!(unread(at_once), Cause::Unknown, "within a jiffy either is possible");
    let slow_path = |s: &mut Socket| {
        s.traffic.last_received = s.traffic.last_sent;
        s.traffic.srtt = Some(Duration::from_millis(80));
    };
    assert_eq!(unread(slow_path), Cause::EarlyClose, "no answer can be back that soon");
    assert_eq!(unread(|s| s.traffic.last_payload = LastPayload::Local), Cause::EarlyClose);
    assert_eq!(unread(|s| s.traffic.sent = 0), Cause::AwaitingResponse);
}

#[test]
fn a_server_that_resets_after_its_client_closed_is_not_to_blame() {
    let left = |socket: Socket| {
        let socket = Socket { peer_fin: true, ..in_state(TcpState::CloseWait, socket) };
        classify(&closed("TCP_ABORT_ON_CLOSE", change(socket, |s| s.traffic.unread = 50)), &rules()).cause
    };
    assert_eq!(left(asked()), Cause::ClientAbort);
    assert_eq!(left(server()), Cause::AfterResponse);
}

#[test]
fn a_retransmitted_request_has_no_time_and_makes_no_race() {
    let again = change(client(), |s| s.traffic.retransmitting = true);
    let verdict = classify(&received(again), &rules());
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
    let cause = |reset: MatchedReset| classify(&reset, &rules()).cause;
    assert_eq!(cause(received(close_wait.clone())), Cause::KeepaliveRace, "all had been acknowledged");
    assert_eq!(cause(with_fin(false, received(close_wait.clone()))), Cause::KeepaliveRace);
    assert_eq!(cause(with_fin(true, received(close_wait))), Cause::EarlyClose, "it was under way already");
}

#[test]
fn a_client_still_sending_when_the_answer_came_was_closed_on_early() {
    let uploading = change(client(), |s| {
        s.traffic.last_payload = LastPayload::Remote;
        s.traffic.unsent = 100_000;
    });
    assert_eq!(classify(&received(uploading), &rules()).cause, Cause::EarlyClose);
}
