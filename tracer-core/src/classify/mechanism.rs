//! How the kernel came to send a RST: by its own reason where it gives one, by the socket otherwise; and what the
//! application got to see.

use super::cause::Cause;
use crate::{
    decode::{Reason, Reasons},
    matching::{Ending, Found, Incident},
    model::{Role, Segment, Side, Silence, SocketSnapshot, TcpState},
};

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

/// What ended a connection, and from which side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A RST that this host sent, in this way.
    ResetSent(Mechanism),
    /// A RST that this host received.
    ResetReceived,
    /// This host's FIN.
    FinSent,
    /// The peer's FIN.
    FinReceived,
    /// Nobody: the kernel stopped sending again.
    TimedOut,
    /// Nobody: the connection never came to be.
    Unreachable,
}

impl Ended {
    /// Which side ended it, as JSON has it; `None` where neither did.
    #[must_use]
    pub fn direction(self) -> Option<&'static str> {
        match self {
            Self::ResetSent(_) | Self::FinSent => Some("sent"),
            Self::ResetReceived | Self::FinReceived => Some("received"),
            Self::TimedOut | Self::Unreachable => None,
        }
    }

    /// What ended it, as labels and JSON have it.
    #[must_use]
    pub fn by(self) -> &'static str {
        match self {
            Self::ResetSent(_) | Self::ResetReceived => "rst",
            Self::FinSent | Self::FinReceived => "fin",
            Self::TimedOut => "timeout",
            Self::Unreachable => "unreachable",
        }
    }

    /// Of two FINs that left a request without an answer, the one that did: its client's where that gave up, else the
    /// server's.
    #[must_use]
    pub(super) fn with(self, cause: Cause, role: Option<Role>) -> Self {
        if !matches!(self, Self::FinSent | Self::FinReceived) {
            return self;
        }
        let by = if cause == Cause::ClientAbort { Role::Client } else { Role::Server };
        if role == Some(by) { Self::FinSent } else { Self::FinReceived }
    }

    /// How the kernel came to send a RST.
    #[must_use]
    pub fn mechanism(self) -> Option<Mechanism> {
        match self {
            Self::ResetSent(mechanism) => Some(mechanism),
            _ => None,
        }
    }
}

/// What the application on this host gets to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Errno {
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
    /// 113
    HostUnreachable,
    /// 101
    NetUnreachable,
}

impl Errno {
    /// The name used in JSON.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ConnReset => "ECONNRESET",
            Self::Pipe => "EPIPE",
            Self::ConnRefused => "ECONNREFUSED",
            Self::TimedOut => "ETIMEDOUT",
            Self::ConnAborted => "ECONNABORTED",
            Self::HostUnreachable => "EHOSTUNREACH",
            Self::NetUnreachable => "ENETUNREACH",
        }
    }
}

/// Which way it went, and how the kernel came to send it.
#[must_use]
pub(super) fn ended(incident: &Incident, reasons: &Reasons) -> Ended {
    let meaning = incident.reason.and_then(|reason| reasons.meaning(reason));
    let unexplained = unexplained(incident, reasons);
    Ended::ResetSent(match &incident.ending {
        Ending::Received(_) => return Ended::ResetReceived,
        Ending::Fin { by: Side::Local, .. } => return Ended::FinSent,
        Ending::Fin { by: Side::Remote, .. } => return Ended::FinReceived,
        Ending::Silent { socket, .. } if socket.state == TcpState::SynSent => return Ended::Unreachable,
        Ending::Silent { .. } => return Ended::TimedOut,
        Ending::AtClose(socket) => stated(meaning).unwrap_or_else(|| at_close(socket, meaning, unexplained)),
        Ending::InUse(socket) => stated(meaning).unwrap_or_else(|| in_use(socket, meaning, unexplained)),
        Ending::Passive { segment, found } => match found {
            Found::Connection(socket) => answering(*segment, socket.orphan, meaning, unexplained),
            Found::Aborted(_) => answering(*segment, true, meaning, unexplained),
            Found::TimeWait(_) => Mechanism::TimeWait,
            Found::Listener(_) => Mechanism::Listener,
            Found::NoSocket(_) => Mechanism::NoSocket,
        },
    })
}

/// The kernel's reason is one that says nothing more (`NOT_SPECIFIED`), or there is none.
fn unexplained(incident: &Incident, reasons: &Reasons) -> bool {
    incident.reason.is_none_or(|reason| reasons.name(reason) == Some("NOT_SPECIFIED"))
}

fn answering(segment: Segment, orphan: bool, meaning: Option<Reason>, unexplained: bool) -> Mechanism {
    match meaning {
        Some(Reason::Protocol) => Mechanism::Protocol,
        // With `TCP_LINGER2` below 0 even a bare ACK ends an orphan.
        Some(Reason::AbortOnData) if segment.len == 0 => Mechanism::Linger,
        Some(Reason::AbortOnData) => Mechanism::OrphanData,
        _ if !unexplained => Mechanism::Unknown,
        _ if orphan && segment.len == 0 => Mechanism::Linger,
        _ if orphan => Mechanism::OrphanData,
        _ => Mechanism::Protocol,
    }
}

/// An active reset whose mechanism the kernel's reason states.
fn stated(meaning: Option<Reason>) -> Option<Mechanism> {
    Some(match meaning? {
        Reason::AbortOnClose => Mechanism::UnreadClose,
        Reason::AbortOnLinger => Mechanism::Linger,
        Reason::AbortOnMemory => Mechanism::Memory,
        Reason::KeepaliveTimeout => Mechanism::Keepalive,
        _ => return None,
    })
}

/// A process closed the connection just before.
fn at_close(socket: &SocketSnapshot, meaning: Option<Reason>, unexplained: bool) -> Mechanism {
    let lingers = socket.linger_zero && !socket.detached;
    match meaning {
        Some(Reason::State | Reason::DisconnectWithData) if lingers => Mechanism::Linger,
        Some(Reason::State | Reason::DisconnectWithData) => Mechanism::Disconnect,
        _ if !unexplained => Mechanism::Unknown,
        _ if socket.detached && !socket.orphan => Mechanism::Disconnect,
        // Before anything else the kernel looks at what is unread (`__tcp_close`, net/ipv4/tcp.c).
        _ if socket.traffic.unread > 0 => Mechanism::UnreadClose,
        _ if lingers => Mechanism::Linger,
        _ => Mechanism::Unknown,
    }
}

/// Nobody closed the connection just before.
fn in_use(socket: &SocketSnapshot, meaning: Option<Reason>, unexplained: bool) -> Mechanism {
    match meaning {
        // An orphan in FIN_WAIT2 is reset when its time is over (`tcp_keepalive_timer`, net/ipv4/tcp_timer.c).
        _ if socket.orphan && socket.state == TcpState::FinWait2 => Mechanism::Unknown,
        Some(Reason::State) => Mechanism::Abort,
        _ if !unexplained => Mechanism::Unknown,
        _ if socket.orphan => Mechanism::Memory,
        _ if socket.probes_out > 0 => Mechanism::Keepalive,
        _ => Mechanism::Abort,
    }
}

/// What `tcp_reset` and its like leave in `sk_err` (`net/ipv4/tcp_input.c`); nobody sees an orphan's.
#[must_use]
pub(super) fn errno(incident: &Incident, ended: Ended) -> Option<Errno> {
    if incident.socket()?.orphan {
        return None;
    }
    match (ended, incident.state()?) {
        (Ended::Unreachable | Ended::TimedOut, _) => silent(incident),
        (Ended::ResetReceived, TcpState::SynSent) => Some(Errno::ConnRefused),
        (Ended::ResetReceived, TcpState::CloseWait) => Some(Errno::Pipe),
        (Ended::ResetReceived, _) => Some(Errno::ConnReset),
        (Ended::ResetSent(Mechanism::Keepalive), _) => Some(Errno::TimedOut),
        (Ended::ResetSent(Mechanism::Abort), _) => Some(Errno::ConnAborted),
        _ => None,
    }
}

/// What the kernel left in `sk_err` when it gave up.
fn silent(incident: &Incident) -> Option<Errno> {
    let Ending::Silent { silence: Silence::Errno(errno), .. } = incident.ending else { return None };
    Some(match errno {
        101 => Errno::NetUnreachable,
        110 => Errno::TimedOut,
        111 => Errno::ConnRefused,
        113 => Errno::HostUnreachable,
        _ => return None,
    })
}
