//! Requests that a FIN left without an answer.

use super::*;

#[test]
fn a_first_upload_that_is_cut_was_a_request_where_its_server_is_known_to_answer() {
    // Segments of an upload arrive for 200 ms or for 5 s; then the server closes without a word.
    let cut = |segments: u32, milliseconds: u64, answers: Option<bool>| {
        let end = ms(1_000 + milliseconds);
        let socket = change(server(), |s| {
            (s.traffic.sent, s.traffic.received) = (0, 50_000);
            (s.traffic.segments_sent, s.traffic.segments_received) = (0, segments);
            (s.traffic.last_sent, s.traffic.last_received) = (ms(1_000), end);
            s.traffic.last_payload = LastPayload::Remote;
            s.traffic.received_since_ack = Some(50_000);
        });
        let fin = Some(FirstFin::new(end, Side::Local, &socket));
        let ended = Incident { at: end, fin, ..incident(Ending::Fin { by: Side::Local, socket }) };
        let knowledge = Knowledge { answers, ..Knowledge::default() };
        cause_of(&ended, None, knowledge)
    };
    let lost = Some(Cause::AwaitingResponse);
    for (segments, milliseconds, answers, cause) in [
        (40, 200, Some(true), lost),
        (40, 5_000, Some(true), lost),
        // As many may be messages to a server that collects them.
        (40, 200, None, None),
        (10, 200, None, lost),
        (10, 5_000, None, None),
        (10, 200, Some(false), None),
    ] {
        let what = format!("{segments} segments in {milliseconds} ms, {answers:?}");
        assert_eq!(cut(segments, milliseconds, answers), cause, "{what}");
    }
}

#[test]
fn a_client_that_closes_right_behind_an_answer_gave_nothing_up() {
    // The server had answered each request; the last one came 4 ms behind its answer, and the client's FIN with it.
    let closed_by_client = |segments_received: u32, after_answer: u64| {
        let socket = change(in_state(TcpState::LastAck, server()), |s| {
            (s.traffic.segments_sent, s.traffic.segments_received) = (2, segments_received);
            (s.traffic.last_sent, s.traffic.last_received) = (ms(1_000), ms(1_000 + after_answer));
            s.traffic.last_payload = LastPayload::Remote;
            (s.traffic.received, s.traffic.received_since_ack) = (9_000, Some(3_000));
            s.peer_fin = true;
        });
        let at = ms(1_000 + after_answer);
        let fin = Some(FirstFin::new(at, Side::Remote, &socket));
        let ended = Incident { at, fin, ..incident(Ending::Fin { by: Side::Local, socket }) };
        cause_of(&ended, None, Knowledge::default())
    };
    let left = Some(Cause::AwaitingResponse);
    for (segments, after_answer, cause) in [(5, 4, None), (5, 400, left), (3, 4, left)] {
        assert_eq!(closed_by_client(segments, after_answer), cause, "{segments} segments, {after_answer} ms");
    }
}

#[test]
fn a_client_that_closes_one_way_behind_the_answer_to_its_upload_does_not_wait() {
    // Both ends of an upload in `segments`: what came last left after the answer, together with the client's FIN.
    let both = |segments: u32| {
        let by_fin = |by: Side, first: Side, state: TcpState, socket: SocketSnapshot| {
            let fin = Some(FirstFin::new(ms(3_001), first, &socket));
            let socket = SocketSnapshot { peer_fin: true, ..in_state(state, socket) };
            Incident { fin, ..incident(Ending::Fin { by, socket }) }
        };
        let client = change(client(), |s| {
            s.half_closed = true;
            (s.traffic.segments_sent, s.traffic.segments_received) = (segments, 1);
            (s.traffic.last_received, s.traffic.unacknowledged) = (ms(2_999), 0);
        });
        let server = change(asked(), |s| {
            (s.traffic.segments_sent, s.traffic.segments_received) = (1, segments);
            (s.traffic.last_sent, s.traffic.received_since_ack) = (ms(2_999), None);
        });
        let client = by_fin(Side::Remote, Side::Local, TcpState::FinWait2, client);
        let server = by_fin(Side::Local, Side::Remote, TcpState::LastAck, server);
        cause_of(&client, Some(&server), Knowledge::default())
    };
    assert_eq!(both(6), None);
    assert_eq!(both(2), Some(Cause::AwaitingResponse), "another request");
}

#[test]
fn a_client_that_closes_one_way_long_after_its_request_gave_up_if_its_server_follows_at_once() {
    // Asked at 1.000 s; the FINs of the client and of its server.
    let closed_one_way = |client: u64, server: u64| {
        let socket = change(asking(), |s| s.half_closed = true);
        let fin = Some(FirstFin::new(ms(client), Side::Local, &socket));
        let socket = SocketSnapshot { peer_fin: true, ..in_state(TcpState::FinWait2, socket) };
        let ending = Ending::Fin { by: Side::Remote, socket };
        cause_of(&Incident { at: ms(server), fin, ..incident(ending) }, None, Knowledge::default())
    };
    assert_eq!(closed_one_way(2_000, 2_003), Some(Cause::ClientAbort));
    assert_eq!(closed_one_way(2_000, 2_500), Some(Cause::AwaitingResponse), "it was left");
    assert_eq!(closed_one_way(1_001, 1_004), Some(Cause::AwaitingResponse), "it still waits");
}

/// A client that had its last answer at 0.500 s and asked again at 1.000 s.
fn asking() -> SocketSnapshot {
    change(client(), |s| {
        (s.traffic.last_received, s.traffic.last_sent) = (ms(500), ms(1_000));
        (s.traffic.segments_sent, s.traffic.last_payload) = (2, LastPayload::Local);
    })
}

#[test]
fn a_client_that_goes_on_sending_behind_an_answer_was_not_left() {
    let left = |segments_sent: u32, after_answer: u64| {
        let socket = change(asking(), |s| {
            (s.traffic.segments_sent, s.traffic.unacknowledged) = (segments_sent, 0);
            s.traffic.last_received = ms(1_000 - after_answer);
        });
        let fin = Some(FirstFin::new(ms(1_002), Side::Remote, &socket));
        let socket = SocketSnapshot { peer_fin: true, ..in_state(TcpState::CloseWait, socket) };
        let ending = Ending::Fin { by: Side::Remote, socket };
        cause_of(&Incident { at: ms(1_002), fin, ..incident(ending) }, None, Knowledge::default())
    };
    assert_eq!(left(12, 5), None);
    assert_eq!(left(2, 500), Some(Cause::AwaitingResponse));
}

#[test]
fn a_client_that_a_busy_machine_keeps_from_closing_behind_its_last_word_gave_nothing_up() {
    // The last `size` bytes leave at 3.000 s, the FIN so much later; the client had sent 600 bytes in five segments, or
    // 160.
    let at_client = |before: u64, waited: u64| {
        let socket = change(client(), |s| {
            (s.traffic.sent, s.traffic.segments_sent, s.traffic.unacknowledged) = (before + 5, 6, 0);
            (s.traffic.segments_received, s.traffic.last_payload) = (5, LastPayload::Local);
        });
        closes(Side::Local, 3_000 + waited, socket)
    };
    // A FIN in a segment of its own hides the size.
    let at_server = |all: u64, size: Option<u32>, waited: u64| {
        let socket = change(asked(), |s| {
            (s.traffic.received, s.traffic.segments_received) = (all, 6);
            (s.traffic.segments_sent, s.traffic.received_since_ack) = (5, size);
        });
        closes(Side::Remote, 3_000 + waited, socket)
    };
    let gave_up = Some(Cause::ClientAbort);
    for (what, cause, expected) in [
        ("short messages", at_client(160, 200), None),
        ("short messages, and it waited", at_client(160, 1_200), gave_up),
        ("long ones", at_client(600, 200), gave_up),
        ("Terminate", at_server(600, Some(5), 200), None),
        ("Terminate, and it waited", at_server(600, Some(5), 1_200), gave_up),
        ("a request", at_server(160, Some(90), 200), gave_up),
        ("short messages, at the server", at_server(160, None, 200), None),
        ("long ones, at the server", at_server(600, None, 200), gave_up),
    ] {
        assert_eq!(cause, expected, "{what}");
    }
}

/// What it meant that this end, or its peer, closed at `at`, and that was all.
fn closes(by: Side, at: u64, socket: SocketSnapshot) -> Option<Cause> {
    let fin = Some(FirstFin::new(ms(at), by, &socket));
    let state = if by == Side::Local { TcpState::FinWait1 } else { TcpState::LastAck };
    let socket = SocketSnapshot { peer_fin: by == Side::Remote, ..in_state(state, socket) };
    let ended = Incident { at: ms(at + 1), fin, ..incident(Ending::Fin { by: Side::Local, socket }) };
    cause_of(&ended, None, Knowledge::default())
}
