//! A reset together with everything known of the connection it ended.

use crate::{
    decode::request_line::RequestLine,
    matching::first_fin::Fin,
    model::event::{Flow, Role, Segment, Side, Socket, TcpState},
    model::time::KernelNs,
};

/// A reset, matched as far as that was possible: all the evidence there is, no judgment yet.
#[derive(Clone, Debug, PartialEq)]
pub struct MatchedReset {
    /// Number of the incident, counted from 0.
    pub id: u64,
    /// When the first RST segment was seen.
    pub at: KernelNs,
    /// The connection, seen from this host.
    pub flow: Flow,
    /// Which end this host is.
    pub role: Role,
    /// How the reset came about.
    pub trigger: Trigger,
    /// What on this host the reset was about.
    pub holder: Holder,
    /// The connection's state before the reset.
    pub state: Option<TcpState>,
    /// The socket, live or as it was when the connection closed.
    pub socket: Option<Socket>,
    /// The first FIN, where it was seen.
    pub fin: Option<Fin>,
    /// Where `socket` is from.
    pub matched: Matched,
    /// `enum sk_rst_reason` of the running kernel.
    pub reason: Option<u32>,
    /// The kernel aborted the connection by itself, because payload met an orphan.
    pub own_abort: bool,
    /// RST segments seen so far.
    pub segments: u32,
    /// The last request line seen of the connection.
    pub request_line: Option<Box<RequestLine>>,
}

impl MatchedReset {
    /// The segment that a passive reset answers.
    #[must_use]
    pub fn segment(&self) -> Option<Segment> {
        match self.trigger {
            Trigger::Passive(segment) => Some(segment),
            _ => None,
        }
    }

    /// That segment, if it carries payload.
    #[must_use]
    pub fn payload(&self) -> Option<Segment> {
        self.segment().filter(|segment| segment.len > 0)
    }

    /// How many requests the connection had carried before the one that met the reset, as far as known.
    #[must_use]
    pub fn requests_before(&self) -> Option<u32> {
        let traffic = &self.socket.as_ref()?.traffic;
        // Of segments, a live socket has counted that one's too.
        let last = u32::from(traffic.requests.is_none() && self.matched == Matched::Socket);
        Some(traffic.requests_carried(self.role)?.saturating_sub(last))
    }

    /// The first FIN, if this side sent it.
    #[must_use]
    pub fn fin_by(&self, side: Side) -> Option<Fin> {
        self.fin.filter(|fin| fin.by == side)
    }
}

/// How a reset came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The peer's RST arrived.
    Received,
    /// This host reset the connection on its own account.
    Active {
        /// A process closed it just before; otherwise the kernel resets a connection that is in use.
        after_close: bool,
    },
    /// This host answered a segment with a RST.
    Passive(Segment),
}

/// What on this host a reset was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// The connection's own socket.
    Connection,
    /// Its time-wait mini-socket.
    TimeWait,
    /// A listener.
    Listener,
    /// Nothing.
    NoSocket,
}

/// Where the knowledge of a connection is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matched {
    /// The live socket.
    Socket,
    /// A connection that was closed a moment ago.
    Closed,
    /// Nowhere.
    None(Unmatched),
}

impl Matched {
    /// The name used in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Closed => "closed",
            Self::None(_) => "none",
        }
    }
}

/// Why a reset could not be matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmatched {
    /// There was no such connection on this host while the tracer watched.
    NoSocket,
    /// It may have been among those dropped from the full table.
    Evicted,
    /// It may have been closed before the tracer started.
    NotSeen,
}

impl Unmatched {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::NoSocket, Self::Evicted, Self::NotSeen];

    /// The name used in labels.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoSocket => "no_socket",
            Self::Evicted => "evicted",
            Self::NotSeen => "not_seen",
        }
    }
}
