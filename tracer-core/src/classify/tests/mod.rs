//! The decision table: each row is a reset as the matcher hands it over, and what it must be called.

mod handshakes;
mod last_words;
mod races;
mod times;
mod unanswered;

use std::time::Duration;

use super::{
    cause::{Cause, Crossing},
    mechanism::{Ended, Errno, Mechanism},
    rules::{Context, RacePolicy},
    verdict::{Verdict, classify},
};
use crate::{
    keepalive::Knowledge,
    matching::{Ending, FirstFin, Found, Incident, Known, Unmatched},
    model::{LastPayload, Role, Segment, Side, SocketSnapshot, TcpState},
    testing::{
        PAYLOAD_END, asked, bare_ack, client, facts, flow, in_state, ms, reason, request, server, unused,
    },
};

/// A reset at 3.002 s, of a connection whose socket says what this host is.
fn incident(ending: Ending) -> Incident {
    let incident = Incident {
        at: ms(3_002),
        flow: flow(40_000),
        role: None,
        ending,
        fin: None,
        reason: None,
        segments: 1,
        request_line: None,
    };
    Incident { role: incident.socket().and_then(|socket| socket.role), ..incident }
}

fn received(socket: SocketSnapshot) -> Incident {
    incident(Ending::Received(socket))
}

/// The process closed, and the kernel reset for `why`.
fn closed(why: &str, socket: SocketSnapshot) -> Incident {
    Incident { reason: reason(why), ..incident(Ending::AtClose(socket)) }
}

/// The server with a second request that its client sent knowing all of the response, and that nobody read.
fn unread() -> SocketSnapshot {
    change(asked(), |s| {
        s.traffic.unread = 100;
        s.traffic.unread_sent_after_full_ack = true;
        s.traffic.received_since_ack = Some(100);
        s.traffic.segments_received = 2;
    })
}

/// The kernel reset a connection that was in use, for `why`.
fn alive(why: &str, socket: SocketSnapshot) -> Incident {
    Incident { reason: reason(why), ..incident(Ending::InUse(socket)) }
}

/// `segment` met what was left of a connection that this host had closed at 2.900 s.
fn answered(segment: Segment, left: fn(SocketSnapshot) -> Found, socket: SocketSnapshot) -> Incident {
    let established = SocketSnapshot { state: TcpState::Established, ..socket.clone() };
    let fin = Some(FirstFin::new(ms(2_900), Side::Local, &established));
    Incident { fin, ..incident(Ending::Passive { segment, found: left(socket) }) }
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
    Incident { role: Some(Role::Server), ..incident(Ending::Passive { segment, found }) }
}

fn with_fin(crossed: bool, incident: Incident) -> Incident {
    let socket = incident.socket().unwrap();
    let before_request = change(socket.clone(), |s| {
        s.traffic.last_sent = ms(1_000);
        s.traffic.last_payload = LastPayload::Remote;
        s.traffic.sent -= 100;
        s.traffic.segments_sent = s.traffic.segments_sent.saturating_sub(1);
        (s.traffic.unacknowledged, s.traffic.unsent) = (0, 0);
    });
    let fin = FirstFin::new(ms(2_990), Side::Remote, if crossed { socket } else { &before_request });
    Incident { fin: Some(fin), ..incident }
}

fn orphan(state: TcpState) -> SocketSnapshot {
    SocketSnapshot { orphan: true, ..in_state(state, server()) }
}

fn change(mut socket: SocketSnapshot, change: impl Fn(&mut SocketSnapshot)) -> SocketSnapshot {
    change(&mut socket);
    socket
}

fn name_of_cause(incident: &Incident, twin: Option<&Incident>) -> Option<&'static str> {
    cause_of(incident, twin, Knowledge::default()).map(Cause::name)
}

fn by_fin(by: Side, fin: Option<FirstFin>, socket: SocketSnapshot) -> Incident {
    Incident { fin, ..incident(Ending::Fin { by, socket }) }
}

fn classified(incident: &Incident) -> Verdict {
    classified_with(incident, RacePolicy::default(), Knowledge::default())
}

/// Of an end that may be no incident.
fn cause_of(incident: &Incident, twin: Option<&Incident>, knowledge: Knowledge) -> Option<Cause> {
    let context = Context { facts: &facts(), policy: RacePolicy::default(), knowledge };
    classify(incident, twin, None, context).map(|verdict| verdict.cause)
}

fn classified_with(incident: &Incident, policy: RacePolicy, knowledge: Knowledge) -> Verdict {
    classify(incident, None, None, Context { facts: &facts(), policy, knowledge })
        .expect("a RST is an incident")
}

fn check(name: &str, incident: &Incident, cause: Cause, mechanism: Option<Mechanism>) {
    let verdict = classified(incident);
    assert_eq!((verdict.cause, verdict.ended.mechanism()), (cause, mechanism), "{name}");
    assert_eq!(
        verdict.ended == Ended::ResetReceived,
        matches!(incident.ending, Ending::Received(_)),
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
            "syn-to-closed-port: a SYN to a closed port",
            unknown(syn, Found::NoSocket, Unmatched::NoSocket),
            Refused,
            Some(By::NoSocket),
        ),
        (
            "syn-to-closed-port, client",
            received(in_state(TcpState::SynSent, unused(client()))),
            Refused,
            None,
        ),
        (
            "accept-queue-full: the accept queue overflowed",
            Incident {
                reason: reason("INVALID_SYN"),
                ..unknown(bare_ack(), Found::Listener, Unmatched::NoSocket)
            },
            BacklogOverflow,
            Some(By::Listener),
        ),
        ("socket-killed: ss -K", alive("TCP_STATE", server()), Killed, Some(By::Abort)),
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
        (
            "keepalive-unanswered: keepalive gave up",
            alive("TCP_KEEPALIVE_TIMEOUT", server()),
            TcpKeepalive,
            Some(By::Keepalive),
        ),
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
            "failover: nobody knows the segment",
            unknown(request(0), Found::NoSocket, Unmatched::NoSocket),
            StaleConnection,
            Some(By::NoSocket),
        ),
        (
            "failover, the listener lives",
            unknown(request(0), Found::Listener, Unmatched::NoSocket),
            StaleConnection,
            Some(By::Listener),
        ),
        (
            "failover, just started",
            unknown(request(0), Found::NoSocket, Unmatched::NotSeen),
            Unknown,
            Some(By::NoSocket),
        ),
        (
            "failover, the table was full",
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
        ("connect-and-reset: a health check, server", received(unused(server())), NoRequest, None),
        (
            "connect-and-reset: a health check, client",
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
            "response-unread: the client did not read the response",
            closed("TCP_ABORT_ON_CLOSE", change(client(), |s| s.traffic.unread = 9)),
            ClientAbort,
            Some(By::UnreadClose),
        ),
        ("response-unread, server", received(server()), AfterResponse, None),
        (
            "early: the client went on sending past an answer that it never read",
            closed(
                "TCP_ABORT_ON_CLOSE",
                change(client(), |s| {
                    (s.traffic.last_payload, s.traffic.last_received) = (LastPayload::Local, ms(980));
                    (s.traffic.last_sent, s.traffic.received, s.traffic.unread) = (ms(1_000), 200, 200);
                }),
            ),
            EarlyClose,
            Some(Mechanism::UnreadClose),
        ),
        (
            "response-after-close: the response met a client that had closed",
            answered(request(1), time_wait, client()),
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
            "linger-reset: reset while the server worked",
            closed("TCP_STATE", SocketSnapshot { linger_zero: true, ..asked() }),
            AwaitingResponse,
            Some(By::Linger),
        ),
        (
            "linger-reset: reset while idle",
            closed("TCP_STATE", SocketSnapshot { linger_zero: true, ..server() }),
            AfterResponse,
            Some(By::Linger),
        ),
        (
            "linger2-negative: linger2 below 0",
            Incident {
                reason: reason("TCP_ABORT_ON_DATA"),
                ..answered(bare_ack(), Found::Connection, orphan(TcpState::FinWait2))
            },
            AfterResponse,
            Some(By::Linger),
        ),
        (
            "the first request of a connection that a pool had kept met the close",
            answered(
                request(0),
                Found::Connection,
                change(orphan(TcpState::FinWait1), |s| *s = unused(s.clone())),
            ),
            KeepaliveRace(Crossing::FinInFlight),
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
fn older_kernels_without_reasons_give_the_same_mechanisms() {
    let unread = change(asked(), |s| s.traffic.unread = 100);
    let rows = [
        (closed("", unread.clone()), Mechanism::UnreadClose),
        (closed("", SocketSnapshot { linger_zero: true, ..unread.clone() }), Mechanism::UnreadClose),
        (closed("", SocketSnapshot { detached: true, ..unread }), Mechanism::Disconnect),
        (closed("", SocketSnapshot { linger_zero: true, ..server() }), Mechanism::Linger),
        (closed("", SocketSnapshot { detached: true, ..unused(server()) }), Mechanism::Disconnect),
        (alive("", server()), Mechanism::Abort),
        (alive("", SocketSnapshot { probes_out: 3, ..server() }), Mechanism::Keepalive),
        (answered(request(0), Found::Connection, orphan(TcpState::FinWait1)), Mechanism::OrphanData),
        (closed("", server()), Mechanism::Unknown),
    ];
    for (reset, mechanism) in rows {
        assert_eq!(classified(&reset).ended, Ended::ResetSent(mechanism), "{reset:?}");
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
