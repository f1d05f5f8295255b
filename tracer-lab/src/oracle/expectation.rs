//! What must be seen of a scenario: on the wire, by the applications, and in the lines of the daemon.

/// RST segments of the connection, by sender.
#[derive(Clone, Copy)]
pub(crate) struct Rsts {
    pub(crate) from_server: u32,
    pub(crate) from_client: u32,
}

/// What the tracer must say of one host. The words are those of the tracer's JSON.
#[derive(Clone, Copy)]
pub(crate) struct Line {
    /// Nothing where neither side ended the connection.
    pub(crate) direction: Option<&'static str>,
    pub(crate) ended_by: &'static str,
    pub(crate) role: &'static str,
    pub(crate) cause: &'static str,
    /// Where the kernel gives no reason and that makes a difference.
    pub(crate) cause_without_reason: Option<&'static str>,
    pub(crate) race: Option<&'static str>,
    pub(crate) mechanism: Option<&'static str>,
    /// The application must see it as well.
    pub(crate) errno: Option<&'static str>,
    pub(crate) matched: &'static str,
    /// Not judged where it says nothing, but for `never` of a request that the server's application has read.
    pub(crate) request_read: Option<&'static str>,
    /// Not judged where it says nothing.
    pub(crate) state: Option<&'static str>,
    pub(crate) idle: Idle,
}

/// Whether the idle time before the last request may be missing. A time that is given must always be right.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Idle {
    Demanded,
    IfKnown,
    /// There is none, whatever the kernel's numbers seem to say.
    Null,
}

/// This host's kernel sent the RST.
pub(crate) const SENT: Line = Line {
    direction: Some("sent"),
    ended_by: "rst",
    role: "server",
    cause: "unknown",
    cause_without_reason: None,
    race: None,
    mechanism: Some("unknown"),
    errno: None,
    matched: "socket",
    request_read: None,
    state: None,
    idle: Idle::IfKnown,
};

/// A RST ended a socket of this host.
pub(crate) const RECEIVED: Line =
    Line { direction: Some("received"), role: "client", mechanism: None, errno: Some("ECONNRESET"), ..SENT };

/// This host's FIN ended an exchange.
pub(crate) const FIN_SENT: Line = Line { ended_by: "fin", mechanism: None, ..SENT };
/// The other side's FIN ended an exchange: the application reads the end, which is no error.
pub(crate) const FIN_RECEIVED: Line = Line { ended_by: "fin", errno: None, ..RECEIVED };
/// This host's kernel gave up on a connection that died of silence.
pub(crate) const LOST: Line = Line {
    direction: None,
    ended_by: "timeout",
    cause: "connection_lost",
    mechanism: None,
    errno: Some("ETIMEDOUT"),
    ..SENT
};
/// This client never got a connection.
pub(crate) const UNREACHABLE: Line =
    Line { ended_by: "unreachable", role: "client", cause: "unreachable", errno: None, ..LOST };

/// Nothing happens: the base of the rows of the table.
pub(crate) const QUIET: Rsts = Rsts { from_server: 0, from_client: 0 };
/// The server side resets once.
pub(crate) const BY_SERVER: Rsts = Rsts { from_server: 1, from_client: 0 };
/// The client side resets once.
pub(crate) const BY_CLIENT: Rsts = Rsts { from_server: 0, from_client: 1 };
