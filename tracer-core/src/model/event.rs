//! What the kernel side saw, with its meaning: after decoding, an impossible value cannot exist.

use std::{net::SocketAddr, time::Duration};

use crate::{decode::request_line::RequestLine, model::time::KernelNs};

/// One thing that happened to a connection on this host.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When the probe ran.
    pub at: KernelNs,
    /// Which connection, seen from this host.
    pub flow: Flow,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum EventKind {
    /// The first FIN of the connection.
    Fin {
        /// Who sent it.
        by: Side,
        /// The socket at that moment, its state the one before.
        socket: Socket,
    },
    /// The socket reached CLOSE; a time-wait mini-socket may live on.
    Close {
        /// The socket at that moment, its state the one before.
        socket: Socket,
    },
    /// `tcp_receive_reset`: a RST ended the socket, or the kernel aborts an orphan by itself.
    ReceiveReset {
        /// The socket just before it died.
        socket: Socket,
        /// The last request line, where one was looked for and found.
        request_line: Option<Box<RequestLine>>,
    },
    /// `tcp_send_reset`: a RST segment leaves this host.
    SendReset {
        /// What it was sent for.
        origin: Origin,
        /// The segment it answers; `None` for an active reset.
        segment: Option<Segment>,
        /// `enum sk_rst_reason` of the running kernel, where it has one.
        reason: Option<u32>,
        /// The last request line, where one was looked for and found.
        request_line: Option<Box<RequestLine>>,
    },
}

/// A connection's addresses, seen from this host. IPv4-mapped addresses stand as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// Inode number of the network namespace.
    pub netns: u32,
    /// This host's end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
}

/// One of the two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// This host.
    Local,
    /// The other host.
    Remote,
}

/// Which end this host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// It accepted the connection.
    Server,
    /// It made the connection.
    Client,
    /// It cannot be told.
    Unknown,
}

impl Role {
    /// The name used in labels and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::Unknown => "unknown",
        }
    }
}

/// What a passive or active reset was sent for.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    /// The connection's own socket.
    Connection(Socket),
    /// A time-wait mini-socket: our FIN was acknowledged, the peer's has not come.
    TimeWait {
        /// Next sequence number it expects.
        rcv_nxt: u32,
    },
    /// A listener, for a segment that fits no connection of its.
    Listener,
    /// Nothing on this host knows the segment.
    NoSocket,
}

/// A connection's socket.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each a flag of the kernel's socket")]
pub struct Socket {
    /// The state before the event; CLOSE where only an earlier event knows it.
    pub state: TcpState,
    /// Which end it is; `Unknown` where the socket alone cannot tell.
    pub role: Role,
    /// No process holds it any more.
    pub orphan: bool,
    /// The peer's FIN was received.
    pub peer_fin: bool,
    /// `SO_LINGER` with timeout 0.
    pub linger_zero: bool,
    /// It was never accepted (or is an orphan).
    pub no_file: bool,
    /// Unanswered keepalive or zero-window probes.
    pub probes_out: u8,
    /// What it remembers of its traffic.
    pub traffic: Traffic,
}

/// What a socket remembers of its traffic. Times are exact to one jiffy.
#[derive(Clone, Debug, PartialEq)]
pub struct Traffic {
    /// Payload bytes sent, without retransmissions.
    pub sent: u64,
    /// Payload bytes received in order.
    pub received: u64,
    /// Segments that carried payload sent; unlike in `sent`, retransmissions count.
    pub segments_sent: u32,
    /// Segments that carried payload received, in order or not; unlike in `received`, one that is answered with a RST counts.
    pub segments_received: u32,
    /// Requests that were answered; known only where all of the connection was seen and requests are counted.
    pub requests: Option<u32>,
    /// When payload was last sent; while none was, when the connection was established.
    pub last_sent: KernelNs,
    /// Whether one of the two times `last_sent` and `last_received` is known better than to the tick.
    pub exact: bool,
    /// When payload was last received; while none was, when the connection was established.
    pub last_received: KernelNs,
    /// When a segment with an ACK was last processed.
    pub last_ack: KernelNs,
    /// Whose payload came last.
    pub last_payload: LastPayload,
    /// Payload bytes of ours that the peer has not acknowledged.
    pub unacknowledged: u32,
    /// Bytes the application wrote that were not sent yet (a FIN counts as one).
    pub unsent: u32,
    /// Received payload that the application did not read.
    pub unread: u32,
    /// The peer had acknowledged all we sent when it sent the unread payload.
    pub unread_knew_all: bool,
    /// Unacknowledged payload was sent more than once: `last_sent` is not when it first left.
    pub retransmitting: bool,
    /// Sequence number of the first payload byte received: with the addresses it tells one connection from
    /// the next on the same ports.
    pub first_rcv_seq: u32,
    /// Oldest unacknowledged sequence number.
    pub snd_una: u32,
    /// End of the payload that the application wrote: where our FIN stands, or would.
    pub payload_end: u32,
    /// Next sequence number expected.
    pub rcv_nxt: u32,
    /// Smoothed round-trip time, where it was measured.
    pub srtt: Option<Duration>,
}

/// Whose payload came last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastPayload {
    /// There was none at all.
    None,
    /// Ours.
    Local,
    /// The peer's.
    Remote,
    /// Both within one jiffy, and nothing else tells.
    Unknown,
}

/// A received segment that was answered with a RST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number.
    pub ack: u32,
    /// Payload bytes.
    pub len: u32,
    /// It opens a connection (SYN without ACK).
    pub opening: bool,
}

/// `include/net/tcp_states.h`, the same numbers as in `TCP_INFO`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the states of RFC 9293")]
pub enum TcpState {
    Established,
    SynSent,
    SynRecv,
    FinWait1,
    FinWait2,
    TimeWait,
    Close,
    CloseWait,
    LastAck,
    Listen,
    Closing,
}

impl TcpState {
    /// From the kernel's number.
    #[must_use]
    pub fn from_kernel(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Established,
            2 => Self::SynSent,
            3 | 12 => Self::SynRecv,
            4 => Self::FinWait1,
            5 => Self::FinWait2,
            6 => Self::TimeWait,
            7 => Self::Close,
            8 => Self::CloseWait,
            9 => Self::LastAck,
            10 => Self::Listen,
            11 => Self::Closing,
            _ => return None,
        })
    }

    /// The name used in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Established => "ESTABLISHED",
            Self::SynSent => "SYN_SENT",
            Self::SynRecv => "SYN_RECV",
            Self::FinWait1 => "FIN_WAIT1",
            Self::FinWait2 => "FIN_WAIT2",
            Self::TimeWait => "TIME_WAIT",
            Self::Close => "CLOSE",
            Self::CloseWait => "CLOSE_WAIT",
            Self::LastAck => "LAST_ACK",
            Self::Listen => "LISTEN",
            Self::Closing => "CLOSING",
        }
    }

    /// Whether this end had sent (or queued) its FIN.
    #[must_use]
    pub fn fin_sent(self) -> bool {
        matches!(self, Self::FinWait1 | Self::FinWait2 | Self::Closing | Self::LastAck | Self::TimeWait)
    }

    /// Whether the application's `recv()` already meets the peer's FIN in this state.
    #[must_use]
    pub fn fin_received(self) -> bool {
        matches!(self, Self::CloseWait | Self::LastAck | Self::Closing)
    }
}

impl Traffic {
    /// When payload last passed in either direction; while none did, when the connection was established.
    #[must_use]
    pub fn last_activity(&self) -> KernelNs {
        self.last_sent.max(self.last_received)
    }

    /// Whether any payload passed.
    #[must_use]
    pub fn any(&self) -> bool {
        self.sent > 0 || self.received > 0
    }

    /// How many requests the connection had carried, seen from the end with this role: as counted, or else as many as
    /// segments with payload that the client had sent, which comes to the same where each fits into one.
    #[must_use]
    pub fn requests_carried(&self, role: Role) -> Option<u32> {
        match role {
            _ if self.requests.is_some() => self.requests,
            Role::Client => Some(self.segments_sent),
            Role::Server => Some(self.segments_received),
            Role::Unknown => None,
        }
    }

    /// Whether `other` is the same connection's, given that the addresses are the same.
    #[must_use]
    pub fn same_connection(&self, other: &Self) -> bool {
        self.first_rcv_seq == other.first_rcv_seq
    }
}
