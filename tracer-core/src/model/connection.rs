//! A connection and its two ends, seen from this host.

use std::{fmt, net::SocketAddr};

use serde::{Serialize, Serializer};

/// A connection's addresses, seen from this host. IPv4-mapped addresses stand as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Flow {
    /// Inode number of the network namespace.
    pub netns: u32,
    /// This host's end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
}

impl Flow {
    /// The server end, where it is known which one that is: what joins the series of both hosts.
    #[must_use]
    pub(crate) fn server(&self, role: Option<Role>) -> Option<SocketAddr> {
        Some(match role? {
            Role::Server => self.local,
            Role::Client => self.remote,
        })
    }

    /// The client end.
    #[must_use]
    pub(crate) fn client(&self, role: Role) -> SocketAddr {
        match role {
            Role::Server => self.remote,
            Role::Client => self.local,
        }
    }
}

/// Names one connection the same way at both of its ends, whatever lies between them: the initial sequence numbers of
/// the client (the upper half) and of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(u64);

impl ConnectionId {
    /// From the initial sequence numbers.
    #[must_use]
    pub fn new(client: u32, server: u32) -> Self {
        Self(u64::from(client) << 32 | u64::from(server))
    }
}

/// 16 hex digits.
impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for ConnectionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One of the two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// This host's end.
    Local,
    /// The other end.
    Remote,
}

/// What this host is on a connection. Where it cannot be told there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// It accepted the connection.
    Server,
    /// It made the connection.
    Client,
}

impl Role {
    /// What the other end of the connection is.
    #[must_use]
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Server => Self::Client,
            Self::Client => Self::Server,
        }
    }

    /// The name used in labels and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }

    /// The name used in labels and JSON for a role that may not be known.
    #[must_use]
    pub fn label(role: Option<Self>) -> &'static str {
        role.map_or("unknown", Self::name)
    }
}

/// `include/net/tcp_states.h`, the same numbers as in `TCP_INFO`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TcpState {
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
    pub(crate) fn from_kernel(number: u8) -> Option<Self> {
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
    pub(crate) fn name(self) -> &'static str {
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
    pub(crate) fn fin_sent(self) -> bool {
        matches!(self, Self::FinWait1 | Self::FinWait2 | Self::Closing | Self::LastAck | Self::TimeWait)
    }

    /// Whether the application's `recv()` already meets the peer's FIN in this state.
    #[must_use]
    pub(crate) fn fin_received(self) -> bool {
        matches!(self, Self::CloseWait | Self::LastAck | Self::Closing)
    }
}
