//! A handshake of TLS and nothing behind it need be no request: told by how much was said, how fast, and at both ends.

use super::*;

/// A client that has said `segments`: a hello, and what ends in `last` bytes on their way; the server answered.
fn shook_hands(segments: u32, sent: u64, last: u32) -> SocketSnapshot {
    change(client(), |s| {
        (s.traffic.segments_sent, s.traffic.segments_received) = (segments, 1);
        (s.traffic.sent, s.traffic.received) = (sent, 141);
        s.traffic.unacknowledged = last;
        (s.traffic.last_received, s.traffic.last_read) = (ms(2_999), ms(2_999));
    })
}

#[test]
fn a_client_that_resets_behind_a_handshake_need_not_have_asked() {
    let tickets = |socket| {
        change(socket, |s: &mut SocketSnapshot| (s.traffic.received, s.traffic.unread) = (1_867, 542))
    };
    let rested = |socket, since| change(socket, |s: &mut SocketSnapshot| s.traffic.last_read = ms(since));
    let earlier = |socket, at| change(socket, |s: &mut SocketSnapshot| s.traffic.last_sent = ms(at));
    for (what, client, expected) in [
        ("a handshake", shook_hands(2, 568, 51), "unknown"),
        ("a handshake, and the server's tickets", tickets(shook_hands(2, 597, 0)), "unknown"),
        ("a handshake and an alert", shook_hands(3, 621, 104), "unknown"),
        ("a hello in two segments", shook_hands(3, 1_800, 80), "unknown"),
        ("a handshake and a request", shook_hands(3, 768, 200), "client_abort"),
        ("two requests", shook_hands(2, 597, 300), "client_abort"),
        ("a busy machine", rested(shook_hands(2, 568, 51), 2_800), "unknown"),
        ("no handshake rests", rested(shook_hands(2, 568, 51), 2_700), "client_abort"),
        ("it rested before nobody knows how much", rested(shook_hands(2, 568, 0), 2_900), "client_abort"),
        ("a handshake, and a wait", earlier(shook_hands(2, 568, 51), 2_700), "client_abort"),
    ] {
        let reset = closed("TCP_ABORT_ON_LINGER", client);
        assert_eq!(name_of_cause(&reset, None), Some(expected), "{what}");
    }
}

#[test]
fn a_server_whose_client_left_behind_a_handshake_need_not_have_been_asked() {
    let server = |segments: u32, received: u64, last: Option<u32>| {
        change(asked(), |s| {
            (s.traffic.segments_received, s.traffic.segments_sent) = (segments, 1);
            (s.traffic.received, s.traffic.sent) = (received, 1_325);
            (s.traffic.last_sent, s.traffic.last_read) = (ms(2_999), ms(2_999));
            s.traffic.received_since_ack = last;
        })
    };
    let rested = change(server(2, 597, None), |s| s.traffic.last_sent = ms(2_900));
    for (what, socket, expected) in [
        ("a handshake", server(2, 597, Some(80)), "unknown"),
        ("nobody knows how much came last", server(2, 597, None), "unknown"),
        ("a handshake and a request", server(3, 797, Some(200)), "client_abort"),
        ("two requests", server(2, 597, Some(300)), "client_abort"),
        ("no handshake rests", rested, "client_abort"),
    ] {
        assert_eq!(name_of_cause(&received(socket), None), Some(expected), "{what}");
    }
}

#[test]
fn a_handshake_that_both_ends_saw_end_is_unknown_at_both() {
    let client = closed("TCP_ABORT_ON_LINGER", shook_hands(2, 568, 51));
    let server = received(change(asked(), |s| {
        (s.traffic.received, s.traffic.sent) = (568, 141);
        (s.traffic.segments_received, s.traffic.received_since_ack) = (2, Some(51));
        (s.traffic.last_sent, s.traffic.last_read) = (ms(2_999), ms(2_999));
    }));
    // A busy machine took its time, and how long the handshake's end was only the server knows.
    let late = change(shook_hands(2, 568, 0), |s| s.traffic.last_read = ms(2_900));
    for client in [client, closed("TCP_ABORT_ON_LINGER", late)] {
        assert_eq!(name_of_cause(&client, Some(&server)), Some("unknown"));
        assert_eq!(name_of_cause(&server, Some(&client)), Some("unknown"));
    }
}

#[test]
fn what_comes_for_a_client_that_closed_behind_a_handshake_is_no_answer_to_it() {
    let open = shook_hands(3, 529, 104);
    let fin = Some(FirstFin::new(ms(3_001), Side::Local, &open));
    let tickets = Segment { len: 598, ..request(0) };
    let socket = in_state(TcpState::TimeWait, open);
    let found = Found::TimeWait(Known::Closed(socket));
    let reset =
        Incident { fin, role: Some(Role::Client), ..incident(Ending::Passive { segment: tickets, found }) };
    assert_eq!(name_of_cause(&reset, None), Some("unknown"));
}

#[test]
fn a_server_that_closes_at_once_may_have_been_told_to_as_far_as_its_client_shows() {
    // The client's payload arrived; its server's FIN comes `later`.
    let left = |segments: u32, sent: u64, later: u64| {
        let open = change(shook_hands(segments, sent, 0), |s| {
            (s.traffic.segments_received, s.traffic.received) = (segments - 1, 1_325);
        });
        let fin = Some(FirstFin::new(ms(3_000 + later), Side::Remote, &open));
        let socket = SocketSnapshot { peer_fin: true, ..in_state(TcpState::CloseWait, open) };
        name_of_cause(&by_fin(Side::Local, fin, socket), None)
    };
    assert_eq!(left(3, 641, 1), None, "a handshake and an alert");
    assert_eq!(left(9, 1_200, 1), None, "behind TLS");
    assert_eq!(left(9, 1_200, 9), Some("awaiting_response"), "that took longer");
    assert_eq!(left(6, 186, 9), None, "a QUIT");
    assert_eq!(left(6, 186, 90), Some("awaiting_response"), "a query");
}

#[test]
fn what_a_client_left_unread_is_its_own_doing_where_the_server_shows_a_request() {
    // Three exchanges of 463 bytes each way, the last response unread: to the client it might be a handshake.
    let client = change(shook_hands(3, 1_389, 0), |s| {
        (s.traffic.received, s.traffic.segments_received, s.traffic.unread) = (1_389, 3, 463);
    });
    let client = closed("TCP_ABORT_ON_CLOSE", client);
    let server = |last: u32| {
        received(change(server(), |s| {
            (s.traffic.received, s.traffic.sent) = (1_389, 1_389);
            (s.traffic.segments_received, s.traffic.segments_sent) = (3, 3);
            (s.traffic.last_received, s.traffic.last_sent) = (ms(3_000), ms(3_001));
            s.traffic.last_read = ms(3_000);
            s.traffic.received_since_ack = Some(last);
        }))
    };
    assert_eq!(name_of_cause(&client, None), Some("unknown"));
    for (last, expected) in [(463, "client_abort"), (80, "after_response")] {
        let server = server(last);
        assert_eq!(name_of_cause(&client, Some(&server)), Some(expected), "{last} bytes");
        assert_eq!(name_of_cause(&server, Some(&client)), Some(expected), "{last} bytes");
    }
}
