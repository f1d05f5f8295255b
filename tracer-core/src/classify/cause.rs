//! The closed sets that a reset is sorted into. Their names are part of the contract with dashboards.

/// What a reset meant for the requests on its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// A SYN to a port without listener.
    Refused,
    /// The accept queue overflowed, or another reset of an embryonic connection.
    BacklogOverflow,
    /// `ss -K`, `bpf_sock_destroy`, or a listener closed with unaccepted children.
    Killed,
    /// Memory or orphan limits.
    OutOfResources,
    /// TCP keepalive probes went unanswered.
    TcpKeepalive,
    /// Bad acknowledgments, sequence numbers, timestamps or flags.
    ProtocolError,
    /// A segment for a connection that the resetting host does not know and did not close a moment ago.
    StaleConnection,
    /// The connection never carried payload.
    NoRequest,
    /// The server closed between exchanges while the next request crossed the close.
    KeepaliveRace,
    /// The server had answered and closed while the client was still sending that request.
    EarlyClose,
    /// The client closed or reset while an exchange was open.
    ClientAbort,
    /// The server side reset after taking a request and before any response byte.
    AwaitingResponse,
    /// No request was open: idle, or a response under way or done.
    AfterResponse,
    /// None of the above can be shown.
    Unknown,
}

impl Cause {
    /// All of them, in the order in which they are tested.
    pub const ALL: [Self; 14] = [
        Self::Refused,
        Self::BacklogOverflow,
        Self::Killed,
        Self::OutOfResources,
        Self::TcpKeepalive,
        Self::ProtocolError,
        Self::StaleConnection,
        Self::NoRequest,
        Self::KeepaliveRace,
        Self::EarlyClose,
        Self::ClientAbort,
        Self::AwaitingResponse,
        Self::AfterResponse,
        Self::Unknown,
    ];

    /// The name used in labels and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::BacklogOverflow => "backlog_overflow",
            Self::Killed => "killed",
            Self::OutOfResources => "out_of_resources",
            Self::TcpKeepalive => "tcp_keepalive",
            Self::ProtocolError => "protocol_error",
            Self::StaleConnection => "stale_connection",
            Self::NoRequest => "no_request",
            Self::KeepaliveRace => "keepalive_race",
            Self::EarlyClose => "early_close",
            Self::ClientAbort => "client_abort",
            Self::AwaitingResponse => "awaiting_response",
            Self::AfterResponse => "after_response",
            Self::Unknown => "unknown",
        }
    }
}

/// Which of the three crossings a keep-alive race was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Race {
    /// The request was queued before the close.
    FinNotSent,
    /// The request was sent before the FIN arrived.
    FinInFlight,
    /// The client's kernel had the FIN, the application had not noticed.
    FinUnprocessed,
    /// It cannot be told.
    Unknown,
}

impl Race {
    /// The name used in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FinNotSent => "fin_not_sent",
            Self::FinInFlight => "fin_in_flight",
            Self::FinUnprocessed => "fin_unprocessed",
            Self::Unknown => "unknown",
        }
    }
}

/// How the kernel came to send a RST.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mechanism {
    /// Payload arrived on a connection that its process had closed.
    OrphanData,
    /// Payload arrived for a time-wait mini-socket that still waited for the peer's FIN.
    TimeWait,
    /// A segment arrived for which there is no socket.
    NoSocket,
    /// A segment arrived that fits no connection of the listener on its port.
    Listener,
    /// A process closed the connection with received payload unread.
    UnreadClose,
    /// A process closed with `SO_LINGER` 0 or `TCP_LINGER2` below 0.
    Linger,
    /// A process disconnected, or a listener was closed before it accepted the connection.
    Disconnect,
    /// TCP keepalive gave up.
    Keepalive,
    /// Somebody killed the connection (`tcp_abort`).
    Abort,
    /// Memory or orphan limits.
    Memory,
    /// A segment broke the protocol.
    Protocol,
    /// It cannot be told.
    Unknown,
}

impl Mechanism {
    /// The name used in labels and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OrphanData => "orphan_data",
            Self::TimeWait => "time_wait",
            Self::NoSocket => "no_socket",
            Self::Listener => "listener",
            Self::UnreadClose => "unread_close",
            Self::Linger => "linger",
            Self::Disconnect => "disconnect",
            Self::Keepalive => "keepalive",
            Self::Abort => "abort",
            Self::Memory => "memory",
            Self::Protocol => "protocol",
            Self::Unknown => "unknown",
        }
    }
}

/// What the application on this host gets to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errno {
    /// 104
    ConnReset,
    /// 32; `recv()` returns 0.
    Pipe,
    /// 111
    ConnRefused,
    /// 110
    TimedOut,
    /// 103
    ConnAborted,
}

impl Errno {
    /// The name used in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ConnReset => "ECONNRESET",
            Self::Pipe => "EPIPE",
            Self::ConnRefused => "ECONNREFUSED",
            Self::TimedOut => "ETIMEDOUT",
            Self::ConnAborted => "ECONNABORTED",
        }
    }
}
