//! What the kernel side saw, with its meaning: after decoding, an impossible value cannot exist.

use super::{Flow, KernelNs, RequestLine, Role, Side, SocketSnapshot};

/// One thing that happened to a connection on this host.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    /// When the probe ran.
    pub at: KernelNs,
    /// Which connection, seen from this host.
    pub flow: Flow,
    /// Its last request line, where one was looked for and found.
    pub request_line: Option<Box<RequestLine>>,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum EventKind {
    /// The first FIN of the connection.
    Fin {
        /// Who sent it.
        by: Side,
        /// The socket at that moment, its state the one before.
        socket: SocketSnapshot,
    },
    /// The socket reached CLOSE; a time-wait mini-socket may live on.
    Close {
        /// The socket at that moment, its state the one before.
        socket: SocketSnapshot,
        /// What ended it, if neither a FIN nor a RST did.
        error: Option<Silence>,
    },
    /// `tcp_receive_reset`: a RST ended the socket, or the kernel aborts an orphan by itself.
    ReceiveReset {
        /// The socket just before it died.
        socket: SocketSnapshot,
    },
    /// `tcp_send_reset`: a RST segment leaves this host.
    SendReset {
        /// What it was sent for.
        reset: SendReset,
        /// `enum sk_rst_reason` of the running kernel, where it has one.
        reason: Option<u32>,
    },
}

/// How a connection ended that neither side closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// The application gave up on a SYN that nobody had answered.
    GivenUp,
    /// The kernel did, with this errno: nobody answered, or the network said that nobody could.
    Errno(u32),
}

/// What a RST was sent for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SendReset {
    /// This host reset a connection on its own account.
    Active(SocketSnapshot),
    /// This host answered a segment.
    Passive {
        /// The segment.
        segment: Segment,
        /// What it met.
        found: SocketKind,
    },
}

/// What on this host a segment met.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SocketKind {
    /// The connection's own socket.
    Connection(SocketSnapshot),
    /// A time-wait mini-socket: our FIN was acknowledged, the peer's has not come.
    TimeWait {
        /// Next sequence number it expects.
        rcv_nxt: u32,
    },
    /// A listener; the segment fits no connection of its.
    Listener,
    /// Nothing on this host knows the segment.
    NoSocket,
}

/// A received segment that was answered with a RST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number.
    pub ack: u32,
    /// Payload bytes.
    pub len: u32,
    /// It opens a connection (SYN without ACK).
    pub opening: bool,
    /// It answers such a segment (SYN with ACK).
    pub accepting: bool,
}

impl Segment {
    /// The segment together with the payload before it that had not arrived: a FIN overtook it, and ends an orphan or a
    /// time-wait mini-socket just as that would have (`tcp_rcv_state_process`, `net/ipv4/tcp_input.c`;
    /// `tcp_timewait_state_process`, `net/ipv4/tcp_minisocks.c`).
    #[must_use]
    pub(crate) fn from(self, rcv_nxt: u32) -> Self {
        let missing = self.seq.wrapping_sub(rcv_nxt);
        if missing.cast_signed() <= 0 {
            return self;
        }
        Self { seq: rcv_nxt, len: self.len.saturating_add(missing), ..self }
    }
}

/// The kinds of events, as counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are explained at the event")]
pub enum EventName {
    Fin,
    Close,
    SendReset,
    ReceiveReset,
}

impl EventKind {
    /// The kind it is counted as.
    pub(crate) fn name(&self) -> EventName {
        match self {
            Self::Fin { .. } => EventName::Fin,
            Self::Close { .. } => EventName::Close,
            Self::SendReset { .. } => EventName::SendReset,
            Self::ReceiveReset { .. } => EventName::ReceiveReset,
        }
    }

    /// What this host is on the connection, as far as the event itself tells.
    pub(crate) fn role(&self) -> Option<Role> {
        match self {
            Self::Fin { socket, .. }
            | Self::Close { socket, .. }
            | Self::ReceiveReset { socket }
            | Self::SendReset { reset: SendReset::Active(socket), .. }
            | Self::SendReset {
                reset: SendReset::Passive { found: SocketKind::Connection(socket), .. },
                ..
            } => socket.role,
            Self::SendReset { .. } => None,
        }
    }
}
