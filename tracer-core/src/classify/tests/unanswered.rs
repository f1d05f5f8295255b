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
