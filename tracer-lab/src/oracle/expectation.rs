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
    pub(crate) direction: &'static str,
    pub(crate) role: &'static str,
    pub(crate) cause: &'static str,
    /// Where the kernel gives no reason and that makes a difference.
    pub(crate) cause_without_reason: Option<&'static str>,
    pub(crate) race: Option<&'static str>,
    pub(crate) mechanism: Option<&'static str>,
    /// The application must see it as well.
    pub(crate) errno: Option<&'static str>,
    pub(crate) matched: &'static str,
    pub(crate) idle: Idle,
}

/// Whether the idle time before the last request may be missing. A time that is given must always be right.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Idle {
    Demanded,
    IfKnown,
}

/// This host's kernel sent the RST.
pub(crate) const SENT: Line = Line {
    direction: "sent",
    role: "server",
    cause: "unknown",
    cause_without_reason: None,
    race: None,
    mechanism: Some("unknown"),
    errno: None,
    matched: "socket",
    idle: Idle::IfKnown,
};

/// A RST ended a socket of this host.
pub(crate) const RECEIVED: Line = Line {
    direction: "received",
    role: "client",
    cause: "unknown",
    cause_without_reason: None,
    race: None,
    mechanism: None,
    errno: Some("ECONNRESET"),
    matched: "socket",
    idle: Idle::IfKnown,
};

/// Nothing happens: the base of the rows of the table.
pub(crate) const QUIET: Rsts = Rsts { from_server: 0, from_client: 0 };
/// The server side resets once.
pub(crate) const BY_SERVER: Rsts = Rsts { from_server: 1, from_client: 0 };
/// The client side resets once.
pub(crate) const BY_CLIENT: Rsts = Rsts { from_server: 0, from_client: 1 };
