//! What TLS says at the end is no request: told by its length, what it comes behind, and how soon the end follows.

use super::*;

/// A server behind TLS: a handshake, requests and answers of one segment each; at 3.000 s the client has sent `size`
/// more bytes in one segment.
fn behind_tls(size: u32) -> SocketSnapshot {
    change(asked(), |s| {
        s.traffic.received = 600 + u64::from(size);
        s.traffic.sent = 1_800;
        (s.traffic.segments_received, s.traffic.segments_sent) = (6, 6);
        s.traffic.received_since_ack = Some(size);
    })
}

/// The same without a handshake: two segments, a head and a body, for each answer.
fn with_bodies(size: u32) -> SocketSnapshot {
    change(behind_tls(size), |s| s.traffic.segments_received = 14)
}

/// Nor is it TLS where all the client sent is about as long.
fn with_short_requests(size: u32) -> SocketSnapshot {
    change(behind_tls(size), |s| s.traffic.received = 6 * u64::from(size) + 3)
}

#[test]
fn a_server_that_closes_behind_a_short_word_of_tls_left_no_request() {
    let closes = |socket: SocketSnapshot| {
        let fin = FirstFin::new(ms(3_002), Side::Local, &socket);
        name_of_cause(&by_fin(Side::Local, Some(fin), socket), None)
    };
    let lost = Some("awaiting_response");
    for (what, socket, cause) in [
        ("GOAWAY and an alert", behind_tls(77), None),
        ("a short request", behind_tls(86), lost),
        ("the small body of a request", with_bodies(77), lost),
        ("one more short request", with_short_requests(77), lost),
        ("it took its time", change(behind_tls(77), |s| s.traffic.last_received = ms(2_900)), lost),
    ] {
        assert_eq!(closes(socket), cause, "{what}");
    }
}

#[test]
fn a_server_that_resets_behind_a_short_word_of_tls_may_have_left_no_request() {
    let resets = |socket: SocketSnapshot| name_of_cause(&closed("TCP_STATE", socket), None);
    let reset_by_client = |socket: SocketSnapshot| name_of_cause(&received(socket), None);
    for (what, cause, expected) in [
        ("read, then reset", resets(behind_tls(77)), "unknown"),
        ("a request, then reset", resets(behind_tls(101)), "awaiting_response"),
        ("said, then reset", reset_by_client(behind_tls(77)), "unknown"),
        ("asked, then reset", reset_by_client(behind_tls(101)), "client_abort"),
    ] {
        assert_eq!(cause, Some(expected), "{what}");
    }
}

#[test]
fn a_short_word_of_tls_that_lies_unread_is_no_request() {
    let left = |socket: SocketSnapshot, unread: u32, answered: bool| {
        let socket = change(socket, |s| {
            s.traffic.unread = unread;
            if answered {
                s.traffic.last_sent = ms(3_001);
                s.traffic.last_payload = LastPayload::Local;
            }
        });
        name_of_cause(&closed("TCP_ABORT_ON_CLOSE", socket), None)
    };
    for (what, cause, expected) in [
        ("TLS read its head, and said its own", left(behind_tls(46), 41, true), "unknown"),
        ("an alert behind a GOAWAY that was read", left(behind_tls(77), 31, false), "unknown"),
        ("the rest of a request that was answered", left(behind_tls(500), 41, true), "early_close"),
        ("a small body that was answered", left(with_bodies(41), 41, true), "early_close"),
    ] {
        assert_eq!(cause, Some(expected), "{what}");
    }
}

#[test]
fn what_a_client_that_had_closed_left_unread_behind_tls_may_be_its_last_word_or_a_short_request() {
    let left = |unread: u32| {
        let socket = change(in_state(TcpState::CloseWait, behind_tls(unread)), |s| {
            s.traffic.unread = unread;
            s.peer_fin = true;
        });
        let fin = Some(FirstFin::new(ms(3_001), Side::Remote, &socket));
        name_of_cause(&Incident { fin, ..closed("TCP_ABORT_ON_CLOSE", socket) }, None)
    };
    assert_eq!(left(31), Some("after_response"), "an alert");
    assert_eq!(left(88), Some("unknown"));
}

#[test]
fn what_answers_a_last_word_of_the_servers_did_not_race() {
    // The server says 46 bytes with its FIN at 2.990 s, or nothing; the client says `size` bytes, and the server reads
    // on.
    let met = |size: u32, said: bool| {
        let before = change(behind_tls(0), |s| {
            s.traffic.last_received = ms(1_000);
            s.traffic.last_sent = ms(if said { 2_989 } else { 1_010 });
            s.traffic.last_payload = LastPayload::Local;
            s.traffic.unacknowledged = if said { 46 } else { 0 };
            s.traffic.segments_received = 5;
        });
        let fin = FirstFin::new(ms(2_990), Side::Local, &before);
        let socket = in_state(TcpState::FinWait2, behind_tls(size));
        name_of_cause(&by_fin(Side::Local, Some(fin), socket), None)
    };
    assert_eq!(met(77, true), None, "GOAWAY and an alert");
    assert_eq!(met(200, true), Some("keepalive_race"));
    assert_eq!(met(77, false), Some("keepalive_race"), "nothing was said: it answers nothing");
}

#[test]
fn both_ends_of_a_session_that_its_client_ends_say_nothing() {
    let half_closed = |size: u32| {
        let socket = change(client(), |s| {
            s.traffic.sent = 600 + u64::from(size);
            s.traffic.received = 1_800;
            (s.traffic.segments_sent, s.traffic.segments_received) = (6, 6);
            s.traffic.unacknowledged = size;
            s.half_closed = true;
        });
        let fin = FirstFin::new(ms(3_001), Side::Local, &socket);
        let socket = SocketSnapshot { peer_fin: true, ..in_state(TcpState::FinWait2, socket) };
        by_fin(Side::Remote, Some(fin), socket)
    };
    let left = |size: u32| {
        let socket = behind_tls(size);
        let fin = FirstFin::new(ms(3_001), Side::Remote, &socket);
        let socket = SocketSnapshot { peer_fin: true, ..in_state(TcpState::LastAck, socket) };
        by_fin(Side::Local, Some(fin), socket)
    };
    for (size, cause) in [(77, None), (200, Some("awaiting_response"))] {
        let (client, server) = (half_closed(size), left(size));
        assert_eq!(name_of_cause(&client, Some(&server)), cause, "{size}");
        assert_eq!(name_of_cause(&server, Some(&client)), cause, "{size}");
        assert_eq!(name_of_cause(&client, None), cause, "{size}, alone");
    }
}

#[test]
fn what_a_client_makes_of_a_reset_behind_a_last_word_counts_only_if_it_is_no_loss() {
    let reset = closed("TCP_STATE", behind_tls(77));
    let answered = |milliseconds: u64| {
        received(change(client(), |s| {
            s.traffic.last_payload = LastPayload::Remote;
            s.traffic.unacknowledged = 0;
            s.traffic.last_received = ms(milliseconds);
        }))
    };
    assert_eq!(name_of_cause(&answered(3_001), None), Some("response_cut"));
    assert_eq!(name_of_cause(&reset, Some(&answered(3_001))), Some("unknown"));
    assert_eq!(name_of_cause(&reset, Some(&answered(1_010))), Some("after_response"));
}

#[test]
fn a_health_check_that_resets_behind_its_alert_lost_nothing_that_shows() {
    let resets = |bytes: u32, waited: u64| {
        let socket = change(client(), |s| {
            (s.traffic.sent, s.traffic.received) = (700, 1_800);
            (s.traffic.segments_sent, s.traffic.segments_received) = (4, 4);
            (s.traffic.unacknowledged, s.linger_zero) = (bytes, true);
            s.traffic.last_sent = ms(3_002 - waited);
        });
        closed("TCP_STATE", socket)
    };
    for (what, reset, expected) in [
        ("an alert", resets(24, 1), "unknown"),
        ("an alert that arrived", resets(0, 1), "unknown"),
        ("a request", resets(150, 1), "client_abort"),
        ("a request that was waited for", resets(0, 500), "client_abort"),
    ] {
        assert_eq!(name_of_cause(&reset, None), Some(expected), "{what}");
    }
    let server = received(behind_tls(24));
    assert_eq!(name_of_cause(&resets(24, 1), Some(&server)), Some("unknown"));
}

#[test]
fn a_late_ack_of_a_connection_that_both_sides_closed_cost_nothing() {
    // The client said five bytes and closed; its last ACK comes twice.
    let socket = SocketSnapshot { peer_fin: true, ..in_state(TcpState::LastAck, asked()) };
    assert_eq!(classified(&answered(bare_ack(), listener, socket.clone())).cause, Cause::AfterResponse);
    assert_eq!(classified(&answered(request(1), listener, socket)).cause, Cause::AwaitingResponse);
}

#[test]
fn a_segment_without_payload_that_nobody_knows_lost_no_request() {
    for (segment, expected) in [(bare_ack(), Cause::Unknown), (request(0), Cause::StaleConnection)] {
        let late = Incident {
            reason: reason("TCP_FLAGS"),
            ..unknown(segment, Found::Listener, Unmatched::NoSocket)
        };
        assert_eq!(classified(&late).cause, expected, "{segment:?}");
    }
}

#[test]
fn a_last_word_of_the_server_that_crosses_unread_payload_is_no_answer() {
    // The server says `said` bytes, or what was acknowledged already, and closes a moment later.
    let crossed = |said: u32, unread: u32, segments: u32| {
        let socket = change(behind_tls(unread), |s| {
            (s.traffic.unread, s.traffic.unacknowledged) = (unread, said);
            s.traffic.segments_received = segments;
            (s.traffic.last_sent, s.traffic.last_payload) = (ms(3_001), LastPayload::Local);
        });
        name_of_cause(&closed("TCP_ABORT_ON_CLOSE", socket), None)
    };
    for (what, cause, expected) in [
        ("an alert", crossed(31, 130, 9), "unknown"),
        ("an answer", crossed(120, 130, 7), "early_close"),
        ("what was acknowledged", crossed(0, 130, 7), "unknown"),
        ("what was acknowledged, before the end of a request", crossed(0, 130, 9), "early_close"),
    ] {
        assert_eq!(cause, Some(expected), "{what}");
    }
    // Its client knows how much it was.
    let server = |unread: u32| {
        closed(
            "TCP_ABORT_ON_CLOSE",
            change(behind_tls(unread), |s| {
                s.traffic.unread = unread;
                s.traffic.segments_received = 9;
                (s.traffic.last_sent, s.traffic.last_payload) = (ms(3_001), LastPayload::Local);
            }),
        )
    };
    let client = |unread: u32| {
        received(change(client(), |s| {
            (s.traffic.sent, s.traffic.received, s.traffic.unread) = (730, 1_800, unread);
            (s.traffic.segments_sent, s.traffic.segments_received) = (7, 6);
            (s.traffic.last_received, s.traffic.last_payload) = (ms(3_001), LastPayload::Remote);
        }))
    };
    assert_eq!(name_of_cause(&server(130), Some(&client(31))), Some("unknown"));
    assert_eq!(name_of_cause(&server(130), Some(&client(200))), Some("early_close"));
}

#[test]
fn an_unread_request_that_came_behind_the_servers_last_word_and_fin_raced() {
    let crossed = |rested_since: u64, came_later: u32| {
        let said = change(behind_tls(0), |s| {
            (s.traffic.last_received, s.traffic.last_sent) = (ms(rested_since), ms(3_000));
            (s.traffic.last_payload, s.traffic.unacknowledged) = (LastPayload::Local, 31);
        });
        let fin = Some(FirstFin::new(ms(3_000), Side::Local, &said));
        let socket = change(in_state(TcpState::FinWait1, behind_tls(130)), |s| {
            (s.traffic.unread, s.traffic.unacknowledged) = (130, 31);
            s.traffic.received = said.traffic.received + u64::from(came_later);
            (s.traffic.last_sent, s.traffic.last_payload) = (ms(3_000), LastPayload::Local);
        });
        name_of_cause(&Incident { fin, ..closed("TCP_ABORT_ON_CLOSE", socket) }, None)
    };
    assert_eq!(crossed(1_000, 130), Some("keepalive_race"));
    assert_eq!(crossed(1_000, 400), Some("unknown"), "some of it was read");
    assert_eq!(crossed(2_990, 130), Some("unknown"), "it had not rested");
}

#[test]
fn a_client_that_resets_on_the_servers_last_word_aborted_nothing() {
    let said = |bytes: u32, rested: u64| {
        change(behind_tls(0), |s| {
            (s.traffic.last_received, s.traffic.last_sent) = (ms(3_000 - rested), ms(3_000));
            (s.traffic.last_payload, s.traffic.unacknowledged) = (LastPayload::Local, bytes);
        })
    };
    let with_fin = |by: Side, socket: SocketSnapshot| {
        let fin = Some(FirstFin::new(ms(3_000), by, &socket));
        name_of_cause(&Incident { fin, ..received(socket) }, None)
    };
    let idle_client = change(said(0, 1_000), |s| s.traffic.last_sent = ms(2_010));
    let goaway = change(said(34, 1_000), |s| s.peer_fin = true);
    let fin = Some(FirstFin::new(ms(2_999), Side::Remote, &idle_client));
    let more = change(said(400, 1_000), |s| s.traffic.unsent = 1);
    for (what, cause, expected) in [
        ("with its FIN", with_fin(Side::Local, said(24, 1_000)), "after_response"),
        ("before its FIN", name_of_cause(&received(said(24, 1_000)), None), "unknown"),
        ("behind the client's FIN", name_of_cause(&Incident { fin, ..received(goaway) }, None), "unknown"),
        ("an answer, which may have arrived", name_of_cause(&received(said(400, 1_000)), None), "unknown"),
        ("a part of an answer", name_of_cause(&received(more), None), "client_abort"),
    ] {
        assert_eq!(cause, Some(expected), "{what}");
    }
}

#[test]
fn what_tls_answers_to_a_killed_servers_fin_is_no_part_of_the_request() {
    let killed = |len: u32| {
        let left = change(behind_tls(135), |s| {
            (s.traffic.segments_received, s.traffic.segments_sent) = (3, 2);
            (s.traffic.last_sent, s.traffic.last_received) = (ms(2_990), ms(2_995));
        });
        let fin = Some(FirstFin::new(ms(3_000), Side::Local, &left));
        let socket = change(SocketSnapshot { orphan: true, ..in_state(TcpState::FinWait2, left) }, |s| {
            s.traffic.segments_received = 4;
        });
        let segment = Segment { len, ..request(1) };
        let ending = Ending::Passive { segment, found: Found::Aborted(socket) };
        name_of_cause(&Incident { fin, ..incident(ending) }, None)
    };
    assert_eq!(killed(31), Some("awaiting_response"));
    assert_eq!(killed(300), Some("early_close"));
}

#[test]
fn a_request_that_lies_unread_behind_a_handshake_may_be_whole() {
    // More segments came than were answered.
    let unread = |before: u64| {
        change(behind_tls(130), |s| {
            (s.traffic.segments_received, s.traffic.segments_sent) = (5, 3);
            s.traffic.received = before + 130;
            (s.traffic.unread, s.traffic.unread_sent_after_full_ack) = (130, true);
        })
    };
    let cause = |before| name_of_cause(&closed("TCP_ABORT_ON_CLOSE", unread(before)), None);
    assert_eq!(cause(900), Some("unknown"));
    assert_eq!(cause(4 * 130), Some("awaiting_response"), "each as long as the last: no handshake");
}

#[test]
fn a_client_that_resets_with_all_of_the_answer_read_gave_nothing_up() {
    // Several exchanges within one tick, as health checks have them: which came last, the client's socket does not say.
    let check = |server_closed: bool| {
        let client = change(client(), |s| {
            s.traffic.last_payload = LastPayload::Unknown;
            (s.traffic.segments_sent, s.traffic.segments_received) = (3, 3);
            (s.traffic.sent, s.traffic.received, s.traffic.unacknowledged) = (30, 369, 0);
            s.peer_fin = server_closed;
        });
        let server = change(server(), |s| {
            (s.traffic.segments_sent, s.traffic.segments_received) = (3, 3);
            (s.traffic.sent, s.traffic.received, s.traffic.unacknowledged) = (369, 30, 5);
        });
        let state = if server_closed { TcpState::CloseWait } else { TcpState::Established };
        let client = closed("TCP_ABORT_ON_LINGER", in_state(state, client));
        let server = received(server);
        [name_of_cause(&client, Some(&server)), name_of_cause(&server, Some(&client))]
    };
    assert_eq!(check(true), [Some("after_response"); 2], "up to the server's FIN");
    assert_eq!(check(false), [Some("unknown"); 2], "the server may have had more to say");
}
