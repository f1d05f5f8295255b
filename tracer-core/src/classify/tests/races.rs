//! Keep-alive races, and what is close to one: last words, unread payload, clients that still send.

use std::time::Duration;

use super::*;
use crate::{
    classify::last_request::last_request_line,
    keepalive::Timeout,
    model::{Method, RequestLine},
};

/// Any crossing of a keep-alive race.
const RACE: &str = "keepalive_race";

#[test]
fn races_tell_which_crossing_they_were() {
    use Mechanism as By;
    let close_wait = || SocketSnapshot { peer_fin: true, ..in_state(TcpState::CloseWait, client()) };
    let rows = [
        (
            "race-fin-in-flight: sent before the FIN arrived",
            answered(request(0), Found::Connection, orphan(TcpState::FinWait1)),
            Crossing::FinInFlight,
            Some(By::OrphanData),
        ),
        (
            "race-fin-unprocessed: the client's kernel had the FIN",
            answered(request(1), time_wait, in_state(TcpState::TimeWait, server())),
            Crossing::FinUnprocessed,
            Some(By::TimeWait),
        ),
        (
            "race-fin-wait2: likewise, in a full FIN_WAIT2",
            answered(request(1), Found::Connection, orphan(TcpState::FinWait2)),
            Crossing::FinUnprocessed,
            Some(By::OrphanData),
        ),
        (
            "race-time-wait-expired: likewise, after the time-wait ended",
            answered(request(1), listener, server()),
            Crossing::FinUnprocessed,
            Some(By::Listener),
        ),
        (
            "unread-close: queued before the close",
            closed("TCP_ABORT_ON_CLOSE", unread()),
            Crossing::FinNotSent,
            Some(By::UnreadClose),
        ),
        ("race-fin-in-flight, client", with_fin(true, received(close_wait())), Crossing::FinInFlight, None),
        (
            "race-fin-unprocessed, client",
            with_fin(false, received(close_wait())),
            Crossing::FinUnprocessed,
            None,
        ),
    ];
    for (name, reset, crossing, mechanism) in rows {
        check(name, &reset, Cause::KeepaliveRace(crossing), mechanism);
    }
}

/// A server whose idle connections are closed at this age.
fn closes_at(milliseconds: u64) -> Knowledge {
    let age = Duration::from_millis(milliseconds);
    let timeout = Timeout { lower: age, upper: age, jitter: Duration::ZERO, samples: 20 };
    Knowledge { timeout: Some(timeout), ..Knowledge::default() }
}

#[test]
fn without_a_fin_only_the_servers_age_shows_a_race_to_its_client() {
    let reset = received(client());
    let with = |knowledge| classified_with(&reset, RacePolicy::default(), knowledge).cause;
    assert_eq!(with(Knowledge::default()), Cause::ResetOnReuse);
    assert_eq!(with(closes_at(5_000)), Cause::ResetOnReuse);
    assert_eq!(with(closes_at(1_992)), Cause::KeepaliveRace(Crossing::Unknown));
    let taken = received(change(client(), |s| s.traffic.acknowledged_behind_payload = true));
    assert_eq!(classified(&taken).cause, Cause::AwaitingResponse, "the server's kernel had it");
    let at_once = received(change(client(), |s| s.traffic.last_received = s.traffic.last_sent));
    assert_eq!(classified(&at_once).cause, Cause::Unknown, "there was no rest");
}

#[test]
fn an_unread_request_raced_if_the_server_closed_at_once_or_at_its_age() {
    let waited = |milliseconds: u64| Incident {
        at: ms(3_000 + milliseconds),
        ..closed("TCP_ABORT_ON_CLOSE", unread())
    };
    let cause = |reset: &Incident, window, knowledge| {
        classified_with(reset, RacePolicy { window }, knowledge).cause.name()
    };
    let unknown = Knowledge::default();
    assert_eq!(cause(&waited(54), None, unknown), RACE);
    assert_eq!(cause(&waited(55), None, unknown), Cause::NeverRead.name());
    assert_eq!(cause(&waited(55), Some(Duration::from_millis(100)), unknown), RACE);
    assert_eq!(cause(&waited(90), None, closes_at(2_080)), RACE);
    assert_eq!(cause(&waited(3_000), None, closes_at(2_080)), Cause::NeverRead.name());
}

#[test]
fn a_first_request_races_only_behind_a_rest() {
    let first = change(client(), |s| s.traffic.received = 0);
    assert_eq!(
        classified(&received(first.clone())).cause,
        Cause::ResetOnReuse,
        "a pool had kept the connection"
    );
    let at_once = change(first, |s| s.traffic.last_received = s.traffic.last_sent);
    assert_eq!(classified(&received(at_once)).cause, Cause::AwaitingResponse);
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
fn unread_payload_is_the_next_request_only_if_its_client_knew_all_of_the_response() {
    let left = |change: fn(&mut SocketSnapshot)| {
        let mut socket = unread();
        change(&mut socket);
        classified(&closed("TCP_ABORT_ON_CLOSE", socket)).cause
    };
    assert_eq!(left(|_| {}), Cause::KeepaliveRace(Crossing::FinNotSent));
    let sent_before = |s: &mut SocketSnapshot| s.traffic.unread_sent_after_full_ack = false;
    assert_eq!(left(sent_before), Cause::EarlyClose, "it was sent before");
    let begun = |s: &mut SocketSnapshot| {
        s.traffic.unread_sent_after_full_ack = false;
        s.traffic.received_since_ack = Some(500);
    };
    assert_eq!(left(begun), Cause::AwaitingResponse, "its beginning was read");
    assert_eq!(
        left(|s| {
            s.traffic.read_since_sent = Some(true);
            s.traffic.segments_received = 9;
        }),
        Cause::AwaitingResponse,
        "some of it was read"
    );
    assert_eq!(left(|s| s.traffic.sent = 0), Cause::AwaitingResponse);
    let answered = |s: &mut SocketSnapshot| {
        s.traffic.last_payload = LastPayload::Local;
        s.traffic.unread_sent_after_full_ack = false;
    };
    assert_eq!(left(answered), Cause::EarlyClose);
}

#[test]
fn a_server_that_resets_after_its_client_closed_is_to_blame_unless_the_client_gave_up() {
    let left = |socket: SocketSnapshot, fin_at: u64| {
        let fin = Some(FirstFin::new(ms(fin_at), Side::Remote, &socket));
        let socket = SocketSnapshot { peer_fin: true, ..in_state(TcpState::CloseWait, socket) };
        classified(&Incident { fin, ..closed("TCP_ABORT_ON_LINGER", socket) }).cause
    };
    assert_eq!(left(asked(), 3_001), Cause::AwaitingResponse, "it closed one way together with its request");
    assert_eq!(left(change(asked(), |s| s.traffic.last_received = ms(2_900)), 3_000), Cause::ClientAbort);
    assert_eq!(left(server(), 3_001), Cause::AfterResponse);
}

#[test]
fn a_retransmitted_request_has_no_time_and_makes_no_race() {
    let again = change(client(), |s| s.traffic.retransmitting = true);
    let verdict = classified(&received(again));
    assert_eq!((verdict.cause, verdict.idle, verdict.request_to_reset), (Cause::ResetOnReuse, None, None));
}

#[test]
fn a_long_request_right_behind_a_response_and_a_fin_is_a_new_one() {
    let close_wait = change(in_state(TcpState::CloseWait, client()), |s| {
        s.traffic.unsent = 60_000;
        s.traffic.last_received = s.traffic.last_sent;
        (s.traffic.segments_sent, s.traffic.segments_received) = (7, 6);
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
fn a_server_that_closed_one_way_right_behind_its_answer_closed_early_whatever_it_read_then() {
    let rest = change(in_state(TcpState::FinWait2, unread()), |s| {
        s.traffic.last_sent = ms(2_996);
        s.traffic.received_since_ack = Some(6_000);
        (s.traffic.segments_received, s.traffic.segments_sent) = (7, 1);
    });
    let fin = Some(FirstFin::new(ms(2_999), Side::Local, &rest));
    let close = |at, fin| Incident { at: ms(at), fin, ..closed("TCP_ABORT_ON_CLOSE", rest.clone()) };
    for (what, incident, expected) in [
        ("at once", close(3_010, fin), Cause::EarlyClose),
        ("later", close(3_060, fin), Cause::AwaitingResponse),
        ("without a FIN before", close(3_010, None), Cause::AwaitingResponse),
    ] {
        assert_eq!(classified(&incident).cause, expected, "{what}");
    }
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

#[test]
fn a_reset_within_the_tick_of_an_only_request_is_harmless_where_all_was_read_up_to_the_servers_fin() {
    let read = change(in_state(TcpState::CloseWait, client()), |s| {
        s.traffic.segments_sent = 1;
        s.traffic.unacknowledged = 0;
        s.traffic.last_payload = LastPayload::Unknown;
    });
    let reset = |socket| closed("TCP_ABORT_ON_LINGER", socket);
    check("all is read", &reset(read.clone()), Cause::AfterResponse, Some(Mechanism::Linger));
    for (what, socket) in [
        ("a second request", change(read.clone(), |s| s.traffic.segments_sent = 2)),
        ("not acknowledged", change(read.clone(), |s| s.traffic.unacknowledged = 9)),
        ("nothing came", change(read.clone(), |s| s.traffic.received = 0)),
        ("the server has not closed", in_state(TcpState::Established, read)),
    ] {
        check(what, &reset(socket), Cause::Unknown, Some(Mechanism::Linger));
    }
}
