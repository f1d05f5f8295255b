//! The last request before a reset, and the times around it.

use std::time::Duration;

use crate::{
    classify::cause::{Cause, Race},
    matching::first_fin::{Farewell, Fin},
    matching::incident::MatchedReset,
    model::event::{LastPayload, Role, Side, Traffic},
    model::time::KernelNs,
};

/// The last request, where it can be told apart.
#[derive(Clone, Copy)]
pub struct Request {
    /// When its first payload was sent or received here.
    pub at: KernelNs,
    /// How long the connection had been idle before.
    pub idle: Option<Duration>,
}

/// Finds it; `None` where it cannot be told apart.
#[must_use]
pub fn request(reset: &MatchedReset, cause: Cause) -> Option<Request> {
    let traffic = &reset.socket.as_ref()?.traffic;
    // Only the end of a request that was still being sent is known, and it says nothing of its beginning;
    // and of what is unknown it is not even clear that it was a request.
    if matches!(cause, Cause::EarlyClose | Cause::Unknown) {
        return None;
    }
    match (reset.role, traffic.last_payload) {
        (Role::Client, LastPayload::Local) if !traffic.retransmitting => {
            Some(request_at(traffic.last_sent, before_request(reset, traffic)))
        }
        (Role::Server, LastPayload::Remote) => {
            Some(request_at(traffic.last_received, Some(traffic.last_sent)))
        }
        // The segment that provoked the reset is the request.
        (Role::Server, _) if reset.payload().is_some() => {
            Some(request_at(reset.at, before_request(reset, traffic)))
        }
        _ => None,
    }
}

fn request_at(at: KernelNs, before: Option<KernelNs>) -> Request {
    Request { at, idle: before.map(|before| at.since(before)) }
}

/// When payload last passed before a request that met, or crossed, a FIN; a farewell is not counted, nor
/// anything where there may have been one.
fn before_request(reset: &MatchedReset, traffic: &Traffic) -> Option<KernelNs> {
    match reset.fin {
        Some(
            Fin { farewell: Farewell::Possible, .. } | Fin { farewell: Farewell::Said, crossed: true, .. },
        ) => None,
        Some(fin) if fin.farewell == Farewell::Said => Some(fin.rest_since),
        _ if reset.role == Role::Client => Some(traffic.last_received),
        _ => Some(traffic.last_activity()),
    }
}

/// The FIN that the server sent, if it was the first.
fn servers_fin(reset: &MatchedReset) -> Option<Fin> {
    match reset.role {
        Role::Server => reset.fin_by(Side::Local),
        Role::Client => reset.fin_by(Side::Remote),
        Role::Unknown => None,
    }
}

/// From the server's FIN to the request in seconds, negative when the request came first. The sign follows what
/// the crossing proves, where one jiffy blurs it.
#[must_use]
pub fn fin_to_request(reset: &MatchedReset, request: Request, race: Option<Race>) -> Option<f64> {
    let fin = servers_fin(reset)?;
    let seconds = request.at.seconds_after(fin.at);
    Some(match race {
        Some(Race::FinInFlight) if fin.by == Side::Remote => seconds.min(0.0),
        Some(Race::FinUnprocessed) => seconds.max(0.0),
        _ => seconds,
    })
}

/// From the last response payload to the reset.
#[must_use]
pub fn since_response(reset: &MatchedReset) -> Option<Duration> {
    let traffic = &reset.socket.as_ref()?.traffic;
    match reset.role {
        // What provoked the reset was a response, or a piece of one.
        Role::Client if reset.payload().is_some() => Some(Duration::ZERO),
        Role::Client if traffic.received > 0 => Some(reset.at.since(traffic.last_received)),
        Role::Server if traffic.sent > 0 => Some(reset.at.since(traffic.last_sent)),
        _ => None,
    }
}
