//! The last request before a reset, and the times around it.

use std::time::Duration;

use super::cause::{Cause, Crossing};
use crate::{
    matching::{FirstFin, Incident, LastWord},
    model::{Jiffy, KernelNs, LastPayload, RequestLine, Role, Side, TcpState, Traffic},
};

/// The last request, where it can be told apart.
#[derive(Clone, Copy)]
pub(super) struct LastRequest {
    /// When its first payload was sent or received here.
    pub at: KernelNs,
    /// How long the connection had been idle before.
    pub idle: Option<Duration>,
}

/// Finds it; `None` where it cannot be told apart.
pub(super) fn last_request(incident: &Incident, cause: Cause, jiffy: Jiffy) -> Option<LastRequest> {
    let traffic = &incident.socket()?.traffic;
    // Only the end of a request that was still being sent is known, and it says nothing of its beginning;
    // and of what is unknown it is not even clear that it was a request.
    if matches!(cause, Cause::EarlyClose | Cause::Unknown) || incident.state() == Some(TcpState::SynSent) {
        return None;
    }
    // Of a request of several segments only the last one's time is known; one that raced was a matter of a moment.
    let (from_client, from_server) = incident.role.map(|role| traffic.segments(role))?;
    let in_pieces = from_client > from_server.saturating_add(1) && !matches!(cause, Cause::KeepaliveRace(_));
    let found = match (incident.role, traffic.last_payload) {
        (_, LastPayload::Local | LastPayload::Remote) if in_pieces && incident.payload().is_none() => None,
        (Some(Role::Client), LastPayload::Local) if !traffic.retransmitting => {
            Some(request_at(traffic.last_sent, before_request(incident, traffic)))
        }
        (Some(Role::Server), LastPayload::Remote) => {
            Some(request_at(traffic.last_received, Some(traffic.last_sent)))
        }
        // The segment that provoked the reset is the request.
        (Some(Role::Server), _) if incident.payload().is_some() => {
            Some(request_at(incident.at, before_request(incident, traffic)))
        }
        _ => None,
    };
    // A first request within the tick of establishment may have come with the SYN; before that there is nothing to
    // count from.
    let no_handshake =
        |idle| incident.state() == Some(TcpState::SynRecv) || (from_server == 0 && idle <= jiffy.length());
    found.map(|request| LastRequest { idle: request.idle.filter(|&idle| !no_handshake(idle)), ..request })
}

fn request_at(at: KernelNs, before: Option<KernelNs>) -> LastRequest {
    LastRequest { at, idle: before.map(|before| at.since(before)) }
}

/// When payload last passed before a request that met, or crossed, a FIN; a last word is not counted, nor
/// anything where there may have been one.
fn before_request(incident: &Incident, traffic: &Traffic) -> Option<KernelNs> {
    match incident.fin {
        Some(
            FirstFin { last_word: LastWord::Possible, .. }
            | FirstFin { maybe_rest_since: Some(_), .. }
            | FirstFin { last_word: LastWord::Said, crossed: true, .. },
        ) => None,
        Some(fin) if fin.last_word == LastWord::Said => Some(fin.rest_since),
        _ if incident.role == Some(Role::Client) => Some(traffic.last_received),
        _ => Some(traffic.last_activity()),
    }
}

/// The FIN that the server sent, if it was the first.
fn servers_fin(incident: &Incident) -> Option<FirstFin> {
    incident.fin_by(match incident.role? {
        Role::Server => Side::Local,
        Role::Client => Side::Remote,
    })
}

/// From the server's FIN to the request in seconds, negative when the request came first. The sign follows what
/// the crossing proves, where one jiffy blurs it.
pub(super) fn fin_to_request(incident: &Incident, request: LastRequest, cause: Cause) -> Option<f64> {
    let fin = servers_fin(incident)?;
    let seconds = request.at.seconds_after(fin.at);
    Some(match cause {
        Cause::KeepaliveRace(Crossing::FinInFlight) if fin.by == Side::Remote => seconds.min(0.0),
        Cause::KeepaliveRace(Crossing::FinUnprocessed) => seconds.max(0.0),
        _ => seconds,
    })
}

/// From the last response payload to the reset.
pub(super) fn since_response(incident: &Incident) -> Option<Duration> {
    let traffic = &incident.socket()?.traffic;
    match incident.role? {
        // What provoked the reset was a response, or a piece of one.
        Role::Client if incident.payload().is_some() => Some(Duration::ZERO),
        Role::Client if traffic.received > 0 => Some(incident.at.since(traffic.last_received)),
        Role::Server if traffic.sent > 0 => Some(incident.at.since(traffic.last_sent)),
        _ => None,
    }
}

/// The request line of the last request, if one is known to be that.
pub(super) fn last_request_line(incident: &Incident, cause: Cause) -> Option<&RequestLine> {
    let line = incident.request_line.as_deref()?;
    // Servers can send such a thing as well.
    let by_client = match incident.role {
        Some(Role::Client) => line.by == Side::Local,
        Some(Role::Server) => line.by == Side::Remote,
        None => true,
    };
    // What is sent after an early response still belongs to the request.
    let current = !line.superseded || cause == Cause::EarlyClose;
    (by_client && current).then_some(line)
}
