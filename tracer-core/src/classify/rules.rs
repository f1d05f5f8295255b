//! What the end of a connection meant: pure functions from evidence to a finding.
//!
//! Each end is judged by what its own socket shows: `server_end`, `client_end`, `unanswered`. Where both are on this
//! host, `both_ends` makes one finding of two.

use std::time::Duration;

use super::{
    cause::Cause, client_end, crossing::crossing, mechanism::Ended, mechanism::Mechanism, server_end,
    unanswered,
};
use crate::{
    decode::{KernelFacts, Reason},
    keepalive::Knowledge,
    matching::{Ending, Found, IDLE, Incident, Known, Unmatched},
    model::{KernelNs, Role, TcpState, Traffic},
};

/// When a request that its server left unread can still be a race.
#[derive(Clone, Copy, Debug, Default)]
pub struct RacePolicy {
    /// The longest time from request to close; by default [`IDLE`].
    pub window: Option<Duration>,
}

/// What a judgment depends on besides the incident.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    pub facts: &'a KernelFacts,
    pub policy: RacePolicy,
    pub knowledge: Knowledge,
}

/// What one end shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// An incident, and what it meant.
    Incident(Cause),
    /// Nothing went wrong.
    Nothing,
    /// It does not show whether anything did.
    Unclear,
}

/// What `incident` shows by itself.
pub(super) fn finding(incident: &Incident, ended: Ended, context: Context<'_>) -> Finding {
    match &incident.ending {
        Ending::Fin { socket, .. } => unanswered::by_fin(incident, socket, context),
        Ending::Silent { socket, silence } => unanswered::silent(socket, *silence),
        _ => Finding::Incident(cause(incident, ended, context)),
    }
}

/// The rules for a connection that a RST ended, first match wins.
fn cause(incident: &Incident, ended: Ended, context: Context<'_>) -> Cause {
    if let Some(cause) = stated(incident, ended, context.facts) {
        return cause;
    }
    let Some(socket) = incident.socket() else {
        return Cause::Unknown;
    };
    let traffic = &socket.traffic;
    if !client_spoke(incident, traffic) {
        return Cause::NoRequest;
    }
    if is_late(incident) {
        return Cause::AfterResponse;
    }
    match incident.role {
        None => Cause::Unknown,
        Some(Role::Client) => client_end::cause(incident, traffic, context),
        Some(Role::Server) => server_end::cause(incident, socket, context),
    }
}

/// Whether the client ever sent payload, as far as that is known.
fn client_spoke(incident: &Incident, traffic: &Traffic) -> bool {
    match incident.role {
        Some(Role::Client) => traffic.sent > 0,
        Some(Role::Server) => traffic.received > 0 || incident.payload().is_some(),
        None => traffic.any() || incident.payload().is_some(),
    }
}

/// The causes that follow from the way the reset was sent, or from a handshake that never ended.
fn stated(incident: &Incident, ended: Ended, facts: &KernelFacts) -> Option<Cause> {
    let meaning = incident.reason.and_then(|reason| facts.reasons.meaning(reason));
    let mechanism = match ended {
        Ended::ResetReceived if incident.state() == Some(TcpState::SynSent) => return Some(Cause::Refused),
        Ended::ResetSent(mechanism) => mechanism,
        _ => return None,
    };
    let segment = incident.segment();
    Some(match mechanism {
        Mechanism::NoSocket if segment.is_some_and(|segment| segment.opening) => Cause::Refused,
        // The answer to a connect that was given up.
        Mechanism::NoSocket if segment.is_some_and(|segment| segment.accepting) => Cause::NoRequest,
        Mechanism::Listener
            if meaning == Some(Reason::InvalidSyn) || segment.is_some_and(|segment| segment.opening) =>
        {
            Cause::BacklogOverflow
        }
        _ if incident.state() == Some(TcpState::SynRecv) && segment.is_some() => Cause::BacklogOverflow,
        Mechanism::Abort => Cause::Killed,
        Mechanism::Disconnect if never_accepted(incident) => Cause::Killed,
        Mechanism::Memory => Cause::OutOfResources,
        Mechanism::Keepalive => Cause::TcpKeepalive,
        Mechanism::Protocol => Cause::ProtocolError,
        // The payload that counts as unread is hidden from this socket (MPTCP keeps it elsewhere).
        Mechanism::UnreadClose if unread(incident) == 0 => Cause::Unknown,
        Mechanism::NoSocket | Mechanism::Listener if !closed_lately(incident) => stale(incident),
        _ => return None,
    })
}

/// A segment of a connection that this host does not know. A tracer that has just started, or had to forget
/// connections, cannot say so. A segment without payload carries no request: it may be a late word of a connection that
/// ended in good order, or of an unfinished handshake.
fn stale(incident: &Incident) -> Cause {
    match incident.known() {
        Some(Known::Nothing(Unmatched::NotSeen | Unmatched::Evicted)) => Cause::Unknown,
        Some(Known::Nothing(_)) if incident.payload().is_none() => Cause::Unknown,
        _ => Cause::StaleConnection,
    }
}

/// Whether this is the answer to a segment without payload that came when both sides had closed and the socket was
/// gone: it cost nothing.
fn is_late(incident: &Incident) -> bool {
    let gone =
        matches!(incident.ending, Ending::Passive { found: Found::Listener(_) | Found::NoSocket(_), .. });
    gone && incident.payload().is_none() && closed_lately(incident)
}

/// The race, with its crossing.
pub(super) fn race(incident: &Incident) -> Cause {
    Cause::KeepaliveRace(crossing(incident))
}

/// Whether the close came soon enough after the last request, which then had just arrived, to be no answer to it.
pub(super) fn closed_at_once(incident: &Incident, request_at: KernelNs, context: Context<'_>) -> bool {
    incident.at.since(request_at) <= context.policy.window.unwrap_or(IDLE) + context.facts.jiffy.length()
}

/// Whether both ends told one another that they close. A connection that died silently (a timeout, a repaired
/// socket) is as unknown to its peer's segments as one that never was.
fn closed_lately(incident: &Incident) -> bool {
    matches!(incident.known(), Some(Known::Closed(_))) && incident.fin.is_some()
}

fn unread(incident: &Incident) -> u32 {
    incident.socket().map_or(0, |socket| socket.traffic.unread)
}

fn never_accepted(incident: &Incident) -> bool {
    incident.role == Some(Role::Server)
        && incident.socket().is_some_and(|socket| socket.detached && !socket.orphan)
}
