//! How a connection ended, together with everything known of it.

use super::first_fin::FirstFin;
use crate::model::{
    ConnectionId, Flow, KernelNs, RequestLine, Role, Segment, Side, Silence, SocketSnapshot, TcpState,
};

/// The end of a connection, matched as far as that was possible: all the evidence there is, no judgment yet.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Incident {
    /// When it ended: when the first RST segment was seen, where there was one.
    pub at: KernelNs,
    /// The connection, seen from this host.
    pub flow: Flow,
    /// What this host is on it.
    pub role: Option<Role>,
    /// How it came about, and what is known of the connection.
    pub ending: Ending,
    /// The first FIN, where it was seen.
    pub fin: Option<FirstFin>,
    /// `enum sk_rst_reason` of the running kernel.
    pub reason: Option<u32>,
    /// RST segments seen so far; 0 where it ended without.
    pub segments: u32,
    /// The last request line seen of the connection.
    pub request_line: Option<Box<RequestLine>>,
}

/// How the end came about, with the socket just before it where there was one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ending {
    /// The peer's RST arrived.
    Received(SocketSnapshot),
    /// This host reset the connection on its own account: a process had just closed it.
    AtClose(SocketSnapshot),
    /// This host reset the connection on its own account, while it was in use.
    InUse(SocketSnapshot),
    /// This host answered a segment.
    Passive {
        /// The segment.
        segment: Segment,
        /// What it met.
        found: Found,
    },
    /// A FIN left a request without an answer, as far as this socket shows.
    Fin {
        /// Whose.
        by: Side,
        /// The socket.
        socket: SocketSnapshot,
    },
    /// Neither side ended it.
    Silent {
        /// The socket.
        socket: SocketSnapshot,
        /// What did.
        silence: Silence,
    },
}

/// What a segment met that was answered with a RST.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Found {
    /// The connection's own socket.
    Connection(SocketSnapshot),
    /// The connection's own socket, an orphan that the kernel aborted by itself because payload met it.
    Aborted(SocketSnapshot),
    /// A time-wait mini-socket.
    TimeWait(Known),
    /// A listener.
    Listener(Known),
    /// Nothing.
    NoSocket(Known),
}

/// What is known of a connection without a socket of its own.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Known {
    /// It was closed a moment ago; its socket as it was then.
    Closed(SocketSnapshot),
    /// Nothing.
    Nothing(Unmatched),
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

impl Incident {
    /// The segment that a passive reset answers.
    pub(crate) fn segment(&self) -> Option<Segment> {
        match self.ending {
            Ending::Passive { segment, .. } => Some(segment),
            _ => None,
        }
    }

    /// That segment, if it carries payload.
    pub(crate) fn payload(&self) -> Option<Segment> {
        self.segment().filter(|segment| segment.len > 0)
    }

    /// The connection's socket, live or as it was when the connection closed.
    pub(crate) fn socket(&self) -> Option<&SocketSnapshot> {
        self.ending.socket()
    }

    /// The connection's state before its end.
    pub(crate) fn state(&self) -> Option<TcpState> {
        match &self.ending {
            Ending::Passive { found, .. } => found.state(),
            _ => self.socket().map(|socket| socket.state),
        }
    }

    /// The connection's name at both of its ends.
    pub(crate) fn connection(&self) -> Option<ConnectionId> {
        self.socket()?.id()
    }

    /// What joins both ends. A listener that was reset before it accepted knows the connection by the segment that
    /// opened it for its client, which carries the first of both sequence numbers.
    pub(crate) fn join_by(&self) -> Option<ConnectionId> {
        let opened = || {
            let segment = self.segment().filter(|segment| !segment.opening && !segment.accepting)?;
            self.socket()
                .is_none()
                .then(|| ConnectionId::new(segment.seq.wrapping_sub(1), segment.ack.wrapping_sub(1)))
        };
        self.connection().or_else(opened)
    }

    /// Whether a RST ended it.
    pub(crate) fn by_rst(&self) -> bool {
        !matches!(self.ending, Ending::Fin { .. } | Ending::Silent { .. })
    }

    /// What is known where the connection has no socket of its own any more.
    pub(crate) fn known(&self) -> Option<&Known> {
        match &self.ending {
            Ending::Passive { found, .. } => found.known(),
            _ => None,
        }
    }

    /// How many exchanges the connection had carried before the request that met the reset, where that is certain.
    pub(crate) fn requests_before(&self) -> Option<u32> {
        let traffic = &self.socket()?.traffic;
        let (by_client, by_server) = traffic.segments(self.role?);
        // A live socket has counted the request's segment too.
        let last = u32::from(self.known().is_none());
        let proven = (by_client == by_server.saturating_add(last)).then_some(by_server);
        traffic.requests.or(proven)
    }

    /// Whether the server's FIN was seen.
    pub(crate) fn server_fin_seen(&self) -> bool {
        match self.role {
            Some(Role::Server) => self.fin_by(Side::Local).is_some(),
            Some(Role::Client) => self.peer_fin_arrived(),
            None => false,
        }
    }

    /// The first FIN, if this side sent it.
    pub(crate) fn fin_by(&self, side: Side) -> Option<FirstFin> {
        self.fin.filter(|fin| fin.by == side)
    }

    /// Whether the peer's FIN had arrived here.
    pub(crate) fn peer_fin_arrived(&self) -> bool {
        self.state().is_some_and(TcpState::fin_received) || self.fin_by(Side::Remote).is_some()
    }

    /// The name of where the knowledge of the connection is from, as JSON has it.
    pub(crate) fn matched(&self) -> &'static str {
        match self.known() {
            None => "socket",
            Some(Known::Closed(_)) => "closed",
            Some(Known::Nothing(_)) => "none",
        }
    }
}

impl Ending {
    /// The connection's socket, live or as it was when the connection closed.
    pub(super) fn socket(&self) -> Option<&SocketSnapshot> {
        match self {
            Self::Received(socket)
            | Self::AtClose(socket)
            | Self::InUse(socket)
            | Self::Fin { socket, .. }
            | Self::Silent { socket, .. } => Some(socket),
            Self::Passive { found, .. } => found.socket(),
        }
    }
}

impl Found {
    fn socket(&self) -> Option<&SocketSnapshot> {
        match self {
            Self::Connection(socket) | Self::Aborted(socket) => Some(socket),
            Self::TimeWait(known) | Self::Listener(known) | Self::NoSocket(known) => match known {
                Known::Closed(socket) => Some(socket),
                Known::Nothing(_) => None,
            },
        }
    }

    fn state(&self) -> Option<TcpState> {
        match self {
            Self::Connection(socket) | Self::Aborted(socket) => Some(socket.state),
            Self::TimeWait(_) => Some(TcpState::TimeWait),
            Self::Listener(_) => Some(TcpState::Listen),
            Self::NoSocket(_) => None,
        }
    }

    fn known(&self) -> Option<&Known> {
        match self {
            Self::Connection(_) | Self::Aborted(_) => None,
            Self::TimeWait(known) | Self::Listener(known) | Self::NoSocket(known) => Some(known),
        }
    }
}

impl Unmatched {
    /// Every reason there is.
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
