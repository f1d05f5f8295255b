//! Events in, incidents out: who is joined with what, and what is counted once.

mod support;

use support::{
    RCV_NXT, asked, at, bare_ack, client, fin, flow, in_state, ms, request, rules, sent, server, unused,
};
use tracer::{
    cause::{Cause, Mechanism, Race},
    classify::classify,
    event::{Event, EventKind, LastPayload, Origin, Role, Segment, Side, Socket, TcpState},
    matched::{Holder, Matched, MatchedReset, Trigger, Unmatched},
    matcher::{Matcher, Outcome},
    request_line::{Method, RequestLine},
};

const ROOM: usize = 1_000;

/// Everything that comes of `events` for a tracer that has watched since boot.
fn outcomes(events: impl IntoIterator<Item = Event>) -> Vec<Outcome> {
    let mut matcher = Matcher::new(ms(0), ROOM);
    for event in events {
        matcher.handle(event);
    }
    matcher.flush();
    matcher.outcomes().collect()
}

fn resets(events: impl IntoIterator<Item = Event>) -> Vec<MatchedReset> {
    outcomes(events)
        .into_iter()
        .filter_map(|outcome| match outcome {
            Outcome::Reset(reset) => Some(*reset),
            _ => None,
        })
        .collect()
}

fn only(events: impl IntoIterator<Item = Event>) -> MatchedReset {
    let mut resets = resets(events);
    assert_eq!(resets.len(), 1, "{resets:#?}");
    resets.remove(0)
}

fn orphan(state: TcpState) -> Socket {
    Socket { orphan: true, ..in_state(state, server()) }
}

/// After →CLOSE the socket no longer tells its state, who opened it, nor who sent last.
fn dead(socket: Socket) -> Socket {
    let mut socket = in_state(TcpState::Close, socket);
    socket.role = Role::Unknown;
    socket.traffic.last_payload = LastPayload::Unknown;
    socket
}

fn received(socket: Socket) -> EventKind {
    EventKind::ReceiveReset { socket, request_line: None }
}

/// race-fin-in-flight as the server host sees it.
fn crossing() -> Vec<Event> {
    vec![
        at(3_000, fin(Side::Local, server())),
        at(3_001, received(orphan(TcpState::FinWait1))),
        at(
            3_001,
            EventKind::SendReset {
                origin: Origin::Connection(dead(orphan(TcpState::FinWait1))),
                segment: Some(request(0)),
                reason: support::reason("TCP_ABORT_ON_DATA"),
                request_line: None,
            },
        ),
        at(3_002, sent(Origin::Listener, Some(bare_ack()), "TCP_FLAGS")),
    ]
}

#[test]
fn a_crossing_is_one_sent_reset_of_two_segments_and_no_received_one() {
    let reset = only(crossing());
    assert_eq!((reset.trigger, reset.segments), (Trigger::Passive(request(0)), 2));
    assert_eq!((reset.state, reset.role), (Some(TcpState::FinWait1), Role::Server));
    assert_eq!(classify(&reset, &rules()).cause, Cause::KeepaliveRace);
}

#[test]
fn the_request_line_is_that_of_the_first_segment_that_has_one() {
    let line = |path: &str, by| {
        let path = Some(path.to_owned());
        Some(Box::new(RequestLine { method: Method::Get, path, by, superseded: false }))
    };
    let segment = |milliseconds, payload, line| {
        let kind = sent(Origin::Listener, Some(payload), "TCP_FLAGS");
        let EventKind::SendReset { origin, segment, reason, .. } = kind else { unreachable!() };
        at(milliseconds, EventKind::SendReset { origin, segment, reason, request_line: line })
    };
    let reset = only([
        at(3_000, fin(Side::Local, server())),
        segment(3_001, request(0), None),
        segment(3_002, request(0), line("/first", Side::Remote)),
        segment(3_003, request(0), line("/second", Side::Remote)),
    ]);
    let path = |reset: &MatchedReset, cause| reset.last_request_line(cause)?.path.clone();
    assert_eq!(path(&reset, Cause::KeepaliveRace).as_deref(), Some("/first"));

    let with = |line| MatchedReset { request_line: line, ..reset.clone() };
    assert_eq!(
        path(&with(line("/ours", Side::Local)), Cause::KeepaliveRace),
        None,
        "a server asks for nothing"
    );
    let mut superseded = line("/upload", Side::Remote);
    superseded.as_mut().unwrap().superseded = true;
    assert_eq!(path(&with(superseded.clone()), Cause::KeepaliveRace), None, "another request came after it");
    assert_eq!(
        path(&with(superseded), Cause::EarlyClose).as_deref(),
        Some("/upload"),
        "it was still being sent"
    );
}

#[test]
fn a_request_that_brings_the_ack_of_the_fin_is_reset_without_a_false_receive() {
    let reset = only([
        at(3_000, fin(Side::Local, server())),
        at(
            3_001,
            sent(Origin::Connection(dead(orphan(TcpState::FinWait2))), Some(request(1)), "TCP_ABORT_ON_DATA"),
        ),
    ]);
    assert_eq!((reset.state, reset.role), (Some(TcpState::FinWait1), Role::Server));
    assert_eq!(classify(&reset, &rules()).race, Some(Race::FinUnprocessed));
}

#[test]
fn a_rst_that_an_orphan_really_received_stays_a_received_one() {
    let reset =
        only([at(3_000, fin(Side::Local, server())), at(3_050, received(orphan(TcpState::FinWait2)))]);
    assert_eq!((reset.trigger, reset.segments), (Trigger::Received, 1));
}

#[test]
fn a_count_that_no_kernel_reaches_ends_nothing() {
    let mut full = server();
    full.traffic.received = u64::MAX;
    let reset = only([
        at(3_000, fin(Side::Local, full)),
        at(3_500, sent(Origin::TimeWait { rcv_nxt: RCV_NXT + 5 }, Some(request(1)), "TCP_TIMEWAIT_SOCKET")),
    ]);
    assert_eq!(reset.socket.unwrap().traffic.received, u64::MAX);
}

#[test]
fn a_time_wait_reset_is_matched_with_the_connection_that_closed() {
    let origin = Origin::TimeWait { rcv_nxt: RCV_NXT };
    let reset = only([
        at(3_000, fin(Side::Local, server())),
        at(4_000, sent(origin, Some(request(1)), "TCP_TIMEWAIT_SOCKET")),
    ]);
    assert_eq!((reset.matched, reset.holder), (Matched::Closed, Holder::TimeWait));
    assert_eq!((reset.state, reset.role), (Some(TcpState::TimeWait), Role::Server));
    assert_eq!(classify(&reset, &rules()).cause, Cause::KeepaliveRace);
}

#[test]
fn payload_that_came_after_our_fin_shows_in_the_time_wait_socket() {
    let origin = Origin::TimeWait { rcv_nxt: RCV_NXT + 300 };
    let reset = only([
        at(3_000, fin(Side::Local, client())),
        at(4_000, sent(origin, Some(request(1)), "TCP_TIMEWAIT_SOCKET")),
    ]);
    let traffic = reset.socket.unwrap().traffic;
    assert_eq!((traffic.received, traffic.last_payload), (400, LastPayload::Unknown));
}

#[test]
fn an_active_reset_finds_state_role_and_order_in_the_close_before_it() {
    let unread = || {
        let mut socket = asked();
        socket.traffic.unread = 100;
        socket
    };
    let reset = only([
        at(3_002, EventKind::Close { socket: unread() }),
        at(3_002, sent(Origin::Connection(dead(unread())), None, "TCP_ABORT_ON_CLOSE")),
    ]);
    assert_eq!(reset.state, Some(TcpState::Established));
    assert_eq!(reset.trigger, Trigger::Active { after_close: true });
    let verdict = classify(&reset, &rules());
    assert_eq!((verdict.cause, verdict.mechanism), (Cause::KeepaliveRace, Some(Mechanism::UnreadClose)));
}

#[test]
fn segments_in_flight_after_an_active_reset_belong_to_it() {
    let socket = || Socket { linger_zero: true, ..asked() };
    let late = Segment { seq: RCV_NXT + 100, ..request(0) };
    let reset = only([
        at(3_002, EventKind::Close { socket: socket() }),
        at(3_002, sent(Origin::Connection(dead(socket())), None, "TCP_STATE")),
        at(3_003, sent(Origin::NoSocket, Some(late), "NO_SOCKET")),
    ]);
    assert_eq!((reset.segments, reset.holder), (2, Holder::Connection));
}

#[test]
fn a_segment_that_slips_in_before_the_active_reset_does_not_hide_it() {
    let socket = || Socket { linger_zero: true, ..asked() };
    let reset = only([
        at(3_002, EventKind::Close { socket: socket() }),
        at(3_002, sent(Origin::NoSocket, Some(request(0)), "NO_SOCKET")),
        at(3_002, sent(Origin::Connection(dead(socket())), None, "TCP_STATE")),
    ]);
    assert_eq!((reset.segments, reset.holder), (2, Holder::Connection));
}

#[test]
fn a_segment_after_the_incident_was_passed_on_is_counted_for_it() {
    let mut events = crossing();
    events.push(at(3_500, sent(Origin::Listener, Some(bare_ack()), "TCP_FLAGS")));
    let outcomes = outcomes(events);
    assert!(
        matches!(outcomes[..], [Outcome::IdleClose(_), Outcome::Reset(_), Outcome::Segment { id: 0 }]),
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
    assert_eq!((resets[1].fin, resets[1].trigger), (None, Trigger::Received));
}

#[test]
fn a_segment_of_another_connection_does_not_match_the_one_that_closed() {
    let stranger = Segment { seq: 1, ack: 3_000_000_000, len: 10, opening: false };
    let reset = only([
        at(3_000, fin(Side::Local, server())),
        at(4_000, sent(Origin::NoSocket, Some(stranger), "NO_SOCKET")),
    ]);
    assert_eq!(reset.matched, Matched::None(Unmatched::NoSocket));
    assert_eq!(classify(&reset, &rules()).cause, Cause::StaleConnection);
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
        matcher.handle(at(milliseconds, sent(Origin::NoSocket, Some(syn), "NO_SOCKET")));
    }
    matcher.flush();
    assert_eq!(matcher.outcomes().count(), 3);
    assert_eq!(matcher.connections(), 0);
}

#[test]
fn a_tracer_that_has_just_started_does_not_claim_that_a_connection_never_was() {
    let mut matcher = Matcher::new(ms(3_900), ROOM);
    matcher.handle(at(4_000, sent(Origin::NoSocket, Some(request(0)), "NO_SOCKET")));
    matcher.flush();
    let Some(Outcome::Reset(reset)) = matcher.outcomes().next() else { panic!("no reset") };
    assert_eq!(reset.matched, Matched::None(Unmatched::NotSeen));
}

#[test]
fn a_connection_that_was_evicted_is_not_called_unknown_to_the_host() {
    let mut matcher = Matcher::new(ms(0), 16);
    for port in 1..=17 {
        let mut event = at(3_000, fin(Side::Local, server()));
        event.flow = flow(port);
        matcher.handle(event);
    }
    assert_eq!(matcher.connections(), 16);
    let mut event = at(4_000, sent(Origin::NoSocket, Some(request(1)), "NO_SOCKET"));
    event.flow = flow(1);
    matcher.handle(event);
    matcher.flush();
    let Some(Outcome::Reset(reset)) = matcher.outcomes().find(|outcome| matches!(outcome, Outcome::Reset(_)))
    else {
        panic!("no reset")
    };
    assert_eq!(reset.matched, Matched::None(Unmatched::Evicted));
}

#[test]
fn closed_connections_are_forgotten_after_the_kernel_forgot_them() {
    let mut matcher = Matcher::new(ms(0), ROOM);
    matcher.handle(at(3_000, fin(Side::Local, server())));
    matcher.advance(ms(3_000 + 64_000));
    assert_eq!(matcher.connections(), 1);
    matcher.advance(ms(3_000 + 65_000));
    assert_eq!(matcher.connections(), 0);
}

#[test]
fn a_close_is_idle_when_nothing_was_open_and_payload_had_rested() {
    let idle = |socket: Socket, by| {
        outcomes([at(3_000, fin(by, socket))]).into_iter().find_map(|outcome| match outcome {
            Outcome::IdleClose(close) => Some(close.idle.as_millis()),
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
