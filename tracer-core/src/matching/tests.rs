//! Events in, incidents out: who is joined with what, and what is counted once.

mod segments;

use super::{
    incident::{Ending, Found, Incident, Known, Unmatched},
    matcher::{Matched, Matcher},
};
use crate::{
    classify::{Cause, Context, Crossing, Ended, Mechanism, RacePolicy, Verdict, classify},
    keepalive::Knowledge,
    model::{
        Event, EventKind, LastPayload, Method, RequestLine, Role, Segment, SendReset, Side, SocketKind,
        SocketSnapshot, TcpState,
    },
    testing::{
        RCV_NXT, active, asked, at, bare_ack, client, facts, fin, flow, in_state, ms, passive, request,
        server, unused,
    },
};

const ROOM: usize = 1_000;

/// Everything that comes of `events` for a tracer that has watched since boot.
fn outcomes(events: impl IntoIterator<Item = Event>) -> Vec<Matched> {
    let mut matcher = Matcher::new(ms(0), ROOM);
    for event in events {
        matcher.handle(event);
    }
    matcher.flush();
    matcher.matched().collect()
}

fn resets(events: impl IntoIterator<Item = Event>) -> Vec<Incident> {
    outcomes(events)
        .into_iter()
        .filter_map(|outcome| match outcome {
            Matched::Incident { incident, .. } => Some(incident),
            _ => None,
        })
        .collect()
}

fn only(events: impl IntoIterator<Item = Event>) -> Incident {
    let mut resets = resets(events);
    assert_eq!(resets.len(), 1, "{resets:#?}");
    resets.remove(0)
}

fn verdict(incident: &Incident) -> Verdict {
    let context = Context { facts: &facts(), policy: RacePolicy::default(), knowledge: Knowledge::default() };
    classify(incident, None, None, context).unwrap()
}

fn orphan(state: TcpState) -> SocketSnapshot {
    SocketSnapshot { orphan: true, ..in_state(state, server()) }
}

/// After →CLOSE the socket no longer tells its state, who opened it, nor who sent last.
fn dead(socket: SocketSnapshot) -> SocketSnapshot {
    let mut socket = in_state(TcpState::Close, socket);
    socket.role = None;
    socket.traffic.last_payload = LastPayload::Unknown;
    socket
}

fn received(socket: SocketSnapshot) -> EventKind {
    EventKind::ReceiveReset { socket }
}

/// race-fin-in-flight as the server host sees it.
fn crossing() -> Vec<Event> {
    vec![
        at(3_000, fin(Side::Local, server())),
        at(3_001, received(orphan(TcpState::FinWait1))),
        at(
            3_001,
            passive(
                SocketKind::Connection(dead(orphan(TcpState::FinWait1))),
                request(0),
                "TCP_ABORT_ON_DATA",
            ),
        ),
        at(3_002, passive(SocketKind::Listener, bare_ack(), "TCP_FLAGS")),
    ]
}

#[test]
fn a_crossing_is_one_sent_reset_of_two_segments_and_no_received_one() {
    let reset = only(crossing());
    assert_eq!((reset.segment(), reset.segments), (Some(request(0)), 2));
    assert!(matches!(reset.ending, Ending::Passive { found: Found::Aborted(_), .. }), "{reset:?}");
    assert_eq!((reset.state(), reset.role), (Some(TcpState::FinWait1), Some(Role::Server)));
    assert!(matches!(verdict(&reset).cause, Cause::KeepaliveRace(_)));
}

#[test]
fn a_request_that_brings_the_ack_of_the_fin_is_reset_without_a_false_receive() {
    let reset = only([
        at(3_000, fin(Side::Local, server())),
        at(
            3_001,
            passive(
                SocketKind::Connection(dead(orphan(TcpState::FinWait2))),
                request(1),
                "TCP_ABORT_ON_DATA",
            ),
        ),
    ]);
    assert_eq!((reset.state(), reset.role), (Some(TcpState::FinWait1), Some(Role::Server)));
    assert_eq!(verdict(&reset).cause, Cause::KeepaliveRace(Crossing::FinUnprocessed));
}

#[test]
fn a_rst_that_an_orphan_really_received_stays_a_received_one() {
    let reset =
        only([at(3_000, fin(Side::Local, server())), at(3_050, received(orphan(TcpState::FinWait2)))]);
    assert!(matches!(reset.ending, Ending::Received(_)), "{reset:?}");
    assert_eq!(reset.segments, 1);
}

#[test]
fn a_count_that_no_kernel_reaches_ends_nothing() {
    let mut full = server();
    full.traffic.received = u64::MAX;
    let reset = only([
        at(3_000, fin(Side::Local, full)),
        at(3_500, passive(SocketKind::TimeWait { rcv_nxt: RCV_NXT + 5 }, request(1), "TCP_TIMEWAIT_SOCKET")),
    ]);
    assert_eq!(reset.socket().unwrap().traffic.received, u64::MAX);
}

#[test]
fn a_time_wait_reset_is_matched_with_the_connection_that_closed() {
    let found = SocketKind::TimeWait { rcv_nxt: RCV_NXT };
    let reset = only([
        at(3_000, fin(Side::Local, server())),
        at(4_000, passive(found, request(1), "TCP_TIMEWAIT_SOCKET")),
    ]);
    assert!(
        matches!(reset.ending, Ending::Passive { found: Found::TimeWait(Known::Closed(_)), .. }),
        "{reset:?}"
    );
    assert_eq!((reset.state(), reset.role), (Some(TcpState::TimeWait), Some(Role::Server)));
    assert!(matches!(verdict(&reset).cause, Cause::KeepaliveRace(_)));
}

#[test]
fn payload_that_came_after_our_fin_shows_in_the_time_wait_socket() {
    let found = SocketKind::TimeWait { rcv_nxt: RCV_NXT + 300 };
    let both = resets([
        at(3_000, fin(Side::Local, client())),
        at(4_000, passive(found, request(1), "TCP_TIMEWAIT_SOCKET")),
    ]);
    // The FIN had left a request open.
    let [by_fin, reset] = &both[..] else { panic!("{both:#?}") };
    assert!(matches!(by_fin.ending, Ending::Fin { by: Side::Local, .. }), "{by_fin:?}");
    let traffic = &reset.socket().unwrap().traffic;
    assert_eq!((traffic.received, traffic.last_payload), (400, LastPayload::Unknown));
}

#[test]
fn an_active_reset_finds_state_role_and_order_in_the_close_before_it() {
    let unread = || {
        let mut socket = asked();
        socket.traffic.unread = 100;
        socket.traffic.unread_sent_after_full_ack = true;
        socket.traffic.segments_received = 2;
        socket
    };
    let reset = only([
        at(3_002, EventKind::Close { socket: unread(), error: None }),
        at(3_002, active(dead(unread()), "TCP_ABORT_ON_CLOSE")),
    ]);
    assert_eq!(reset.state(), Some(TcpState::Established));
    assert!(matches!(reset.ending, Ending::AtClose(_)), "{reset:?}");
    let verdict = verdict(&reset);
    assert_eq!(verdict.ended, Ended::ResetSent(Mechanism::UnreadClose));
    assert!(matches!(verdict.cause, Cause::KeepaliveRace(_)), "{verdict:?}");
}

#[test]
fn segments_in_flight_after_an_active_reset_belong_to_it() {
    let socket = || SocketSnapshot { linger_zero: true, ..asked() };
    let late = Segment { seq: RCV_NXT + 100, ..request(0) };
    let reset = only([
        at(3_002, EventKind::Close { socket: socket(), error: None }),
        at(3_002, active(dead(socket()), "TCP_STATE")),
        at(3_003, passive(SocketKind::NoSocket, late, "NO_SOCKET")),
    ]);
    assert_eq!(reset.segments, 2);
    assert!(matches!(reset.ending, Ending::AtClose(_)), "{reset:?}");
}

#[test]
fn a_segment_that_slips_in_before_the_active_reset_does_not_hide_it() {
    let socket = || SocketSnapshot { linger_zero: true, ..asked() };
    let reset = only([
        at(3_002, EventKind::Close { socket: socket(), error: None }),
        at(3_002, passive(SocketKind::NoSocket, request(0), "NO_SOCKET")),
        at(3_002, active(dead(socket()), "TCP_STATE")),
    ]);
    assert_eq!(reset.segments, 2);
    assert!(matches!(reset.ending, Ending::AtClose(_)), "{reset:?}");
}

#[test]
fn a_segment_after_the_incident_was_passed_on_is_counted_for_it() {
    let mut events = crossing();
    events.push(at(3_500, passive(SocketKind::Listener, bare_ack(), "TCP_FLAGS")));
    let outcomes = outcomes(events);
    assert!(
        matches!(
            outcomes[..],
            [Matched::Close(_), Matched::Incident { .. }, Matched::FurtherSegment { id: 0 }]
        ),
        "{outcomes:#?}"
    );
}

#[test]
fn a_new_connection_on_the_same_ports_is_not_blamed_for_the_old_one() {
    let mut later = server();
    later.traffic.first_rcv_seq = 77_000_000;
    later.traffic.rcv_nxt = 77_000_100;
    later.traffic.payload_end = 88_000_000;
    later.traffic.snd_una = 88_000_000;
    let mut events = crossing();
    events.push(at(3_700, received(later)));
    let resets = resets(events);
    assert_eq!(resets.len(), 2);
    assert_eq!(resets[1].fin, None);
    assert!(matches!(resets[1].ending, Ending::Received(_)), "{resets:#?}");
}

#[test]
fn a_segment_of_another_connection_does_not_match_the_one_that_closed() {
    let unknown = Segment { seq: 1, ack: 3_000_000_000, len: 10, opening: false, accepting: false };
    let reset = only([
        at(3_000, fin(Side::Local, server())),
        at(4_000, passive(SocketKind::NoSocket, unknown, "NO_SOCKET")),
    ]);
    assert_eq!(reset.known(), Some(&Known::Nothing(Unmatched::NoSocket)));
    assert_eq!(verdict(&reset).cause, Cause::StaleConnection);
}

#[test]
fn the_same_addresses_in_two_namespaces_are_two_connections() {
    let elsewhere = |mut event: Event| {
        event.flow.netns = 2;
        event
    };
    let mut events = crossing();
    events.extend(crossing().into_iter().map(elsewhere));
    let resets = resets(events);
    assert_eq!(
        resets.iter().map(|reset| (reset.flow.netns, reset.segments)).collect::<Vec<_>>(),
        [(1, 2), (2, 2)]
    );
}

#[test]
fn each_syn_to_a_closed_port_is_a_reset_of_its_own_and_leaves_nothing_behind() {
    let syn = Segment { opening: true, len: 0, ..request(0) };
    let mut matcher = Matcher::new(ms(0), ROOM);
    for milliseconds in [0, 1, 2] {
        matcher.handle(at(milliseconds, passive(SocketKind::NoSocket, syn, "NO_SOCKET")));
    }
    matcher.flush();
    assert_eq!(matcher.matched().count(), 3);
    assert_eq!(matcher.remembered(), 0);
}

#[test]
fn a_tracer_that_has_just_started_does_not_claim_that_a_connection_never_was() {
    let mut matcher = Matcher::new(ms(3_900), ROOM);
    matcher.handle(at(4_000, passive(SocketKind::NoSocket, request(0), "NO_SOCKET")));
    matcher.flush();
    let Some(Matched::Incident { incident: reset, .. }) = matcher.matched().next() else {
        panic!("no reset")
    };
    assert_eq!(reset.known(), Some(&Known::Nothing(Unmatched::NotSeen)));
}

#[test]
fn a_connection_that_was_evicted_is_not_called_unknown_to_the_host() {
    let mut matcher = Matcher::new(ms(0), 16);
    for port in 1..=17 {
        let mut event = at(3_000, fin(Side::Local, server()));
        event.flow = flow(port);
        matcher.handle(event);
    }
    assert_eq!(matcher.remembered(), 16);
    let mut event = at(4_000, passive(SocketKind::NoSocket, request(1), "NO_SOCKET"));
    event.flow = flow(1);
    matcher.handle(event);
    matcher.flush();
    let mut incidents = matcher.matched().filter_map(|matched| match matched {
        Matched::Incident { incident, .. } => Some(incident),
        _ => None,
    });
    let reset = incidents.next().expect("a reset");
    assert_eq!(reset.known(), Some(&Known::Nothing(Unmatched::Evicted)));
}

#[test]
fn closed_connections_are_forgotten_after_the_kernel_forgot_them() {
    let mut matcher = Matcher::new(ms(0), ROOM);
    matcher.handle(at(3_000, fin(Side::Local, server())));
    matcher.advance(ms(3_000 + 64_000));
    assert_eq!(matcher.remembered(), 1);
    matcher.advance(ms(3_000 + 65_000));
    assert_eq!(matcher.remembered(), 0);
}

#[test]
fn a_close_is_idle_when_nothing_was_open_and_payload_had_rested() {
    let idle = |socket: SocketSnapshot, by| {
        outcomes([at(3_000, fin(by, socket))]).into_iter().find_map(|outcome| match outcome {
            Matched::Close(close) => close.idle().map(|idle| idle.as_millis()),
            _ => None,
        })
    };
    let mut unacknowledged = server();
    unacknowledged.traffic.unacknowledged = 10;
    let mut fresh = server();
    fresh.traffic.last_sent = ms(2_960);
    let mut order_unknown = server();
    order_unknown.traffic.last_payload = LastPayload::Unknown;
    assert_eq!(idle(server(), Side::Local), Some(1_990));
    assert_eq!(idle(server(), Side::Remote), Some(1_990));
    assert_eq!(idle(order_unknown, Side::Remote), Some(1_990));
    assert_eq!(idle(unused(server()), Side::Local), Some(1_990));
    assert_eq!(idle(asked(), Side::Local), None, "a request is open");
    assert_eq!(idle(client(), Side::Remote), None, "a request is crossing");
    assert_eq!(idle(unacknowledged, Side::Local), None, "the response is still under way");
    assert_eq!(idle(fresh, Side::Local), None, "it had not rested");
}

#[test]
fn a_late_empty_segment_does_not_turn_an_end_by_fin_into_a_reset() {
    let left = SocketSnapshot { peer_fin: true, ..in_state(TcpState::LastAck, client_left()) };
    let ended = |segment: Segment| {
        resets([
            at(3_000, fin(Side::Remote, client_left())),
            at(3_001, EventKind::Close { socket: left.clone(), error: None }),
            at(3_002, passive(SocketKind::NoSocket, segment, "NO_SOCKET")),
        ])
    };
    let behind = |len: u32| Segment {
        seq: left.traffic.rcv_nxt.wrapping_add(1),
        ack: left.traffic.payload_end.wrapping_add(1),
        len,
        opening: false,
        accepting: false,
    };
    let [incident] = &ended(behind(0))[..] else { panic!("one end, one incident") };
    assert!(matches!(incident.ending, Ending::Fin { .. }), "{incident:?}");
}

/// A client whose request its server closes on without a word.
fn client_left() -> SocketSnapshot {
    let mut socket = client();
    socket.traffic.unacknowledged = 0;
    socket.traffic.last_payload = LastPayload::Local;
    socket
}
