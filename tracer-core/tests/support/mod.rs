//! Sockets and events to start from; each test states only what it is about.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::{net::SocketAddr, time::Duration};

use tracer_core::{
    classify::rules::Rules,
    decode::reasons::Reasons,
    model::event::{
        Event, EventKind, Flow, LastPayload, Origin, Role, Segment, Side, Socket, TcpState, Traffic,
    },
    model::time::KernelNs,
};

pub(crate) const JIFFY: Duration = Duration::from_millis(4);

/// What the server had sent when it was done: where its FIN stands.
pub(crate) const PAYLOAD_END: u32 = 5_000;

/// Next sequence number the server expects.
pub(crate) const RCV_NXT: u32 = 9_000;

pub(crate) fn ms(milliseconds: u64) -> KernelNs {
    KernelNs(milliseconds * 1_000_000)
}

pub(crate) fn rules() -> Rules {
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
    Rules { race_window: None, jiffy: JIFFY, reasons: Reasons::from_names(names) }
}

pub(crate) fn reason(name: &str) -> Option<u32> {
    (0..64).find(|&number| rules().reasons.name(number) == Some(name))
}

pub(crate) fn flow(port: u16) -> Flow {
    let at = |host, port| SocketAddr::from(([10, 0, 0, host], port));
    Flow { netns: 1, local: at(1, 80), remote: at(2, port) }
}

/// An idle server-side connection: request at 1.000 s, response at 1.010 s, all acknowledged.
pub(crate) fn server() -> Socket {
    Socket {
        state: TcpState::Established,
        role: Role::Server,
        orphan: false,
        peer_fin: false,
        linger_zero: false,
        no_file: false,
        probes_out: 0,
        traffic: Traffic {
            sent: 200,
            received: 100,
            segments_sent: 1,
            segments_received: 1,
            requests: None,
            exact: false,
            last_sent: ms(1_010),
            last_received: ms(1_000),
            last_ack: ms(1_050),
            last_payload: LastPayload::Local,
            unacknowledged: 0,
            unsent: 0,
            unread: 0,
            unread_knew_all: false,
            retransmitting: false,
            first_rcv_seq: RCV_NXT - 100,
            snd_una: PAYLOAD_END,
            payload_end: PAYLOAD_END,
            rcv_nxt: RCV_NXT,
            srtt: Some(Duration::from_millis(1)),
        },
    }
}

/// The same connection's other end: a client with a request open since 3.000 s, not acknowledged.
pub(crate) fn client() -> Socket {
    let mut socket = server();
    socket.role = Role::Client;
    socket.traffic.last_received = ms(1_010);
    socket.traffic.last_sent = ms(3_000);
    socket.traffic.unacknowledged = 100;
    socket
}

/// The server with a second request that arrived at 3.000 s.
pub(crate) fn asked() -> Socket {
    let mut socket = server();
    socket.traffic.received = 200;
    socket.traffic.rcv_nxt = RCV_NXT + 100;
    socket.traffic.last_received = ms(3_000);
    socket.traffic.last_payload = LastPayload::Remote;
    socket
}

/// Nothing was ever sent on it.
pub(crate) fn unused(mut socket: Socket) -> Socket {
    socket.traffic.sent = 0;
    socket.traffic.received = 0;
    socket.traffic.last_payload = LastPayload::None;
    socket.traffic.first_rcv_seq = socket.traffic.rcv_nxt;
    socket
}

/// The next request, acknowledging all of the response and `fin` bytes of a FIN.
pub(crate) fn request(fin: u32) -> Segment {
    Segment { seq: RCV_NXT, ack: PAYLOAD_END + fin, len: 100, opening: false }
}

pub(crate) fn bare_ack() -> Segment {
    Segment { len: 0, ..request(1) }
}

pub(crate) fn at(milliseconds: u64, kind: EventKind) -> Event {
    Event { at: ms(milliseconds), flow: flow(40_000), kind }
}

pub(crate) fn fin(by: Side, socket: Socket) -> EventKind {
    EventKind::Fin { by, socket }
}

pub(crate) fn sent(origin: Origin, segment: Option<Segment>, why: &str) -> EventKind {
    EventKind::SendReset { origin, segment, reason: reason(why), request_line: None }
}

pub(crate) fn in_state(state: TcpState, socket: Socket) -> Socket {
    Socket { state, ..socket }
}
