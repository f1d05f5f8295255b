//! When things happened around the last request.

use super::*;

#[test]
fn times_are_those_of_the_last_request() {
    let milliseconds = |duration: Option<Duration>| duration.map(|duration| duration.as_millis());
    // The server took the first request, which came so long after the handshake.
    let first = |after: u64| {
        let socket = change(asked(), |s| {
            (s.traffic.sent, s.traffic.segments_sent) = (0, 0);
            (s.traffic.last_sent, s.traffic.last_received) = (ms(3_000 - after), ms(3_000));
        });
        closed("TCP_ABORT_ON_LINGER", socket)
    };
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
            closed("TCP_ABORT_ON_CLOSE", unread()),
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
        ("a first request within a tick of establishment", first(4), None, Some(2), None),
        ("a first request later", first(5), Some(5), Some(2), None),
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
