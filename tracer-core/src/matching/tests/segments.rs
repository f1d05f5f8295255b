//! What the segments that are answered with a RST tell together.

use super::*;

#[test]
fn the_request_line_is_that_of_the_first_segment_that_has_one() {
    let segment = |milliseconds, path: Option<&str>| {
        let request_line = path.map(|path| {
            let path = Some(path.to_owned());
            Box::new(RequestLine { method: Method::Get, path, by: Side::Remote, superseded: false })
        });
        let reset = SendReset::Passive { segment: request(0), found: SocketKind::Listener };
        Event { request_line, ..at(milliseconds, EventKind::SendReset { reset, reason: None }) }
    };
    let reset = only([
        at(3_000, fin(Side::Local, server())),
        segment(3_001, None),
        segment(3_002, Some("/first")),
        segment(3_003, Some("/second")),
    ]);
    assert_eq!(reset.request_line.unwrap().path.as_deref(), Some("/first"));
}

#[test]
fn a_segment_that_meets_no_socket_just_before_its_reset_belongs_to_that() {
    let unread = SocketSnapshot { role: Some(Role::Server), ..dead(asked()) };
    let reset = only([
        at(3_000, passive(SocketKind::NoSocket, request(0), "NO_SOCKET")),
        at(3_001, EventKind::Close { socket: asked(), error: None }),
        at(3_001, active(unread, "TCP_ABORT_ON_CLOSE")),
    ]);
    assert_eq!(reset.segments, 2);
    assert!(matches!(reset.ending, Ending::AtClose(_)), "{reset:?}");
}

#[test]
fn a_fin_that_overtakes_a_request_stands_for_it() {
    let overtaking = |seq| Segment { seq, ..bare_ack() };
    let met = |segment| {
        let orphan = SocketKind::Connection(dead(orphan(TcpState::FinWait1)));
        only([
            at(3_000, fin(Side::Local, server())),
            at(3_001, passive(orphan, segment, "TCP_ABORT_ON_DATA")),
        ])
    };
    let left = |segment| {
        let mini_socket = SocketKind::TimeWait { rcv_nxt: RCV_NXT };
        only([
            at(3_000, fin(Side::Local, server())),
            at(3_001, passive(mini_socket, segment, "TCP_TIMEWAIT_SOCKET")),
        ])
    };
    for reset in [met(overtaking(RCV_NXT + 100)), left(overtaking(RCV_NXT + 100))] {
        assert_eq!(reset.payload(), Some(request(1)));
        assert!(matches!(verdict(&reset).cause, Cause::KeepaliveRace(_)));
    }
    for reset in [met(overtaking(RCV_NXT)), left(overtaking(RCV_NXT))] {
        assert_eq!(reset.payload(), None);
    }
}
