//! Sockets and events to start from; each test states only what it is about.

use std::{net::SocketAddr, time::Duration};

use crate::{
    decode::{KernelFacts, Reasons},
    model::{
        Event, EventKind, Flow, Jiffy, KernelNs, LastPayload, Role, Segment, SendReset, Side, SocketKind,
        SocketSnapshot, TcpState, Traffic,
    },
};

pub(crate) fn jiffy() -> Jiffy {
    Jiffy::of_hz(250).unwrap()
}

/// What the server had sent when it was done: where its FIN stands.
pub(crate) const PAYLOAD_END: u32 = 5_000;

/// Next sequence number the server expects.
pub(crate) const RCV_NXT: u32 = 9_000;

pub(crate) fn ms(milliseconds: u64) -> KernelNs {
    KernelNs(milliseconds * 1_000_000)
}

/// A kernel that gives reasons, watched since boot.
pub(crate) fn facts() -> KernelFacts {
    let names = [
        (1, "NO_SOCKET"),
        (6, "TCP_FLAGS"),
        (8, "TCP_ABORT_ON_DATA"),
        (9, "TCP_TIMEWAIT_SOCKET"),
        (10, "INVALID_SYN"),
        (11, "TCP_ABORT_ON_CLOSE"),
        (12, "TCP_ABORT_ON_LINGER"),
        (13, "TCP_ABORT_ON_MEMORY"),
        (14, "TCP_STATE"),
        (15, "TCP_KEEPALIVE_TIMEOUT"),
        (16, "TCP_DISCONNECT_WITH_DATA"),
    ];
    let names = names.map(|(number, name)| (number, name.to_owned())).into();
    KernelFacts { jiffy: jiffy(), reasons: Reasons::from_names(names), watched_since: ms(0) }
}

pub(crate) fn reason(name: &str) -> Option<u32> {
    (0..64).find(|&number| facts().reasons.name(number) == Some(name))
}

pub(crate) fn flow(port: u16) -> Flow {
    let at = |host, port| SocketAddr::from(([10, 0, 0, host], port));
    Flow { netns: 1, local: at(1, 80), remote: at(2, port) }
}

/// An idle server-side connection: request at 1.000 s, response at 1.010 s, all acknowledged.
pub(crate) fn server() -> SocketSnapshot {
    SocketSnapshot {
        state: TcpState::Established,
        role: Some(Role::Server),
        orphan: false,
        peer_fin: false,
        linger_zero: false,
        detached: false,
        half_closed: false,
        probes_out: 0,
        traffic: Traffic {
            sent: 200,
            received: 100,
            segments_sent: 1,
            segments_received: 1,
            requests: None,
            exact: false,
            last_read: ms(1_000),
            last_sent: ms(1_010),
            last_received: ms(1_000),
            last_ack: ms(1_050),
            last_payload: LastPayload::Local,
            unacknowledged: 0,
            unsent: 0,
            unread: 0,
            unread_sent_after_full_ack: false,
            unread_is_fresh: false,
            read_since_sent: None,
            read_behind_ack: false,
            received_since_ack: Some(0),
            acknowledged_behind_payload: false,
            retransmitting: false,
            first_snd_seq: PAYLOAD_END - 200,
            first_rcv_seq: RCV_NXT - 100,
            snd_una: PAYLOAD_END,
            payload_end: PAYLOAD_END,
            rcv_nxt: RCV_NXT,
            srtt: Some(Duration::from_millis(1)),
        },
    }
}

/// The same connection's other end: a client with a request open since 3.000 s, not acknowledged.
pub(crate) fn client() -> SocketSnapshot {
    let mut socket = server();
    socket.role = Some(Role::Client);
    socket.traffic.last_received = ms(1_010);
    socket.traffic.last_sent = ms(3_000);
    socket.traffic.unacknowledged = 100;
    socket
}

/// The server with a second request that arrived at 3.000 s.
pub(crate) fn asked() -> SocketSnapshot {
    let mut socket = server();
    socket.traffic.received = 200;
    socket.traffic.rcv_nxt = RCV_NXT + 100;
    socket.traffic.last_received = ms(3_000);
    socket.traffic.last_payload = LastPayload::Remote;
    socket
}

/// Nothing was ever sent on it.
pub(crate) fn unused(mut socket: SocketSnapshot) -> SocketSnapshot {
    socket.traffic.sent = 0;
    socket.traffic.received = 0;
    socket.traffic.last_payload = LastPayload::None;
    socket.traffic.first_rcv_seq = socket.traffic.rcv_nxt;
    socket
}

/// The next request, acknowledging all of the response and `fin` bytes of a FIN.
pub(crate) fn request(fin: u32) -> Segment {
    Segment { seq: RCV_NXT, ack: PAYLOAD_END + fin, len: 100, opening: false, accepting: false }
}

pub(crate) fn bare_ack() -> Segment {
    Segment { len: 0, ..request(1) }
}

pub(crate) fn at(milliseconds: u64, kind: EventKind) -> Event {
    Event { at: ms(milliseconds), flow: flow(40_000), request_line: None, kind }
}

pub(crate) fn fin(by: Side, socket: SocketSnapshot) -> EventKind {
    EventKind::Fin { by, socket }
}

/// The reset of a connection on the kernel's own account, for `why`.
pub(crate) fn active(socket: SocketSnapshot, why: &str) -> EventKind {
    EventKind::SendReset { reset: SendReset::Active(socket), reason: reason(why) }
}

/// The reset that answers `segment`, for `why`.
pub(crate) fn passive(found: SocketKind, segment: Segment, why: &str) -> EventKind {
    EventKind::SendReset { reset: SendReset::Passive { segment, found }, reason: reason(why) }
}

pub(crate) fn in_state(state: TcpState, socket: SocketSnapshot) -> SocketSnapshot {
    SocketSnapshot { state, ..socket }
}
