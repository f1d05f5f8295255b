//! What a reset meant: one pure function from evidence to verdict.

use std::time::Duration;

use super::{
    cause::Cause,
    crossing::{Acknowledged, acknowledged, crossing},
    last_request::{LastRequest, fin_to_request, last_request, since_response},
    mechanism::{Ended, Errno, Mechanism, ended, errno},
    request_read::RequestRead,
};
use crate::{
    decode::{KernelFacts, Reason},
    matching::{Found, IDLE, Incident, Known, LastWord, Reset, Unmatched, may_be_last_word},
    model::{Jiffy, LastPayload, Role, Segment, Side, TcpState, Traffic},
};

/// When a reset without a FIN can still be a race.
#[derive(Clone, Copy, Debug, Default)]
pub struct RacePolicy {
    /// The longest time from request to reset; by default twice the smoothed round-trip time and [`RACE_MARGIN`].
    pub window: Option<Duration>,
}

/// What the default race window allows beyond two round trips.
const RACE_MARGIN: Duration = Duration::from_millis(5);

/// The judgment on one reset.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What it meant for the requests.
    pub cause: Cause,
    /// What ended the connection, and from which side.
    pub ended: Ended,
    /// Whether the server's application took the last request.
    pub request_read: RequestRead,
    /// What the application on this host sees.
    pub(crate) errno: Option<Errno>,
    /// From the last payload before the last request to that request.
    pub idle: Option<Duration>,
    /// From the last request to the reset.
    pub request_to_reset: Option<Duration>,
    /// From the FIN to the last request in seconds; negative when the request came first.
    pub(crate) fin_to_request: Option<f64>,
    /// From the last response payload to the reset.
    pub(crate) since_response: Option<Duration>,
}

/// Judges a reset.
pub(crate) fn classify(incident: &Incident, facts: &KernelFacts, policy: RacePolicy) -> Verdict {
    let ended = ended(incident, &facts.reasons);
    let cause = cause(incident, ended, facts, policy);
    let request = last_request(incident, cause);
    Verdict {
        cause,
        ended,
        request_read: RequestRead::Unknown,
        errno: errno(incident, ended),
        idle: request.and_then(|request| request.idle),
        request_to_reset: request.map(|request| incident.at.since(request.at)),
        fin_to_request: request.and_then(|request: LastRequest| fin_to_request(incident, request, cause)),
        since_response: since_response(incident),
    }
}

/// The rules, first match wins.
fn cause(incident: &Incident, ended: Ended, facts: &KernelFacts, policy: RacePolicy) -> Cause {
    if let Some(cause) = stated(incident, ended, facts) {
        return cause;
    }
    let Some(socket) = incident.socket() else {
        return Cause::Unknown;
    };
    let (traffic, payload) = (&socket.traffic, incident.payload());
    if !traffic.any() && payload.is_none() {
        return Cause::NoRequest;
    }
    match (incident.role, &incident.reset) {
        (None, _) => Cause::Unknown,
        (Some(Role::Client), Reset::Received(_)) => client_was_reset(incident, traffic, facts.jiffy, policy),
        (Some(Role::Server), Reset::Received(_)) => server_was_reset(incident, traffic),
        (Some(Role::Client), _) => client_reset(incident, traffic, payload),
        (Some(Role::Server), Reset::AtClose(_) | Reset::InUse(_)) if socket.peer_fin => left_alone(traffic),
        (Some(Role::Server), _) => match payload {
            Some(segment) => server_had_closed(incident, traffic, &segment),
            None if traffic.unread > 0 => closed_unread(incident, traffic, facts.jiffy),
            None => server_closed(traffic),
        },
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
    Some(match mechanism {
        Mechanism::NoSocket if incident.segment().is_some_and(|segment| segment.opening) => Cause::Refused,
        Mechanism::Listener if meaning == Some(Reason::InvalidSyn) => Cause::BacklogOverflow,
        _ if incident.state() == Some(TcpState::SynRecv) => Cause::BacklogOverflow,
        Mechanism::Abort => Cause::Killed,
        Mechanism::Disconnect if never_accepted(incident) => Cause::Killed,
        Mechanism::Memory => Cause::OutOfResources,
        Mechanism::Keepalive => Cause::TcpKeepalive,
        Mechanism::Protocol => Cause::ProtocolError,
        // The payload that counts as unread is hidden from this socket (MPTCP keeps it elsewhere).
        Mechanism::UnreadClose if unread(incident) == 0 => Cause::Unknown,
        Mechanism::NoSocket | Mechanism::Listener if !closed_here(incident) => stale(incident),
        _ => return None,
    })
}

/// A segment of a connection that this host does not know. A tracer that has just started, or had to forget
/// connections, cannot say so; nor can one where the kernel gives no reason and the segment may have belonged to
/// an unfinished handshake.
fn stale(incident: &Incident) -> Cause {
    let maybe_embryonic = matches!(incident.reset, Reset::Passive { found: Found::Listener(_), .. })
        && incident.reason.is_none()
        && incident.payload().is_none();
    match incident.known() {
        Some(Known::Nothing(Unmatched::NotSeen | Unmatched::Evicted)) => Cause::Unknown,
        Some(Known::Nothing(_)) if maybe_embryonic => Cause::Unknown,
        _ => Cause::StaleConnection,
    }
}

/// The race, with its crossing.
fn race(incident: &Incident) -> Cause {
    Cause::KeepaliveRace(crossing(incident))
}

/// The client's view: all it has is its own side.
fn client_was_reset(incident: &Incident, traffic: &Traffic, jiffy: Jiffy, policy: RacePolicy) -> Cause {
    let said_last_word = peers_last_word(incident) == LastWord::Said;
    match traffic.last_payload {
        _ if answers_last_word(incident, traffic) => Cause::Unknown,
        // The server had not seen our payload when it said its last word: it crossed.
        LastPayload::Remote if said_last_word && traffic.unacknowledged > 0 => race(incident),
        // It was answered while it was still being sent.
        LastPayload::Remote if traffic.unsent > 0 || traffic.unacknowledged > 0 => Cause::EarlyClose,
        LastPayload::Remote => Cause::AfterResponse,
        LastPayload::None | LastPayload::Unknown => Cause::Unknown,
        LastPayload::Local if traffic.received == 0 => Cause::AwaitingResponse,
        LastPayload::Local if began_after_fin(incident) => race(incident),
        // Still writing when the answer came: no new request.
        LastPayload::Local
            if traffic.unsent > 0
                && traffic.last_sent.since(traffic.last_received) <= round_trip(traffic, jiffy) =>
        {
            Cause::EarlyClose
        }
        LastPayload::Local if incident.peer_fin_arrived() => race(incident),
        LastPayload::Local => {
            let window = race_window(traffic, jiffy, policy);
            let in_window = !traffic.retransmitting && incident.at.since(traffic.last_sent) <= window;
            if in_window { race(incident) } else { Cause::AwaitingResponse }
        }
    }
}

/// The server's view of a RST from its client.
fn server_was_reset(incident: &Incident, traffic: &Traffic) -> Cause {
    match traffic.last_payload {
        _ if answers_last_word(incident, traffic) => Cause::Unknown,
        // A last word is no request.
        LastPayload::Remote if peers_last_word(incident) != LastWord::None => Cause::Unknown,
        LastPayload::Remote => Cause::ClientAbort,
        // The client's RST overtook a response that was still under way.
        LastPayload::Local if traffic.unacknowledged > 0 => Cause::ClientAbort,
        LastPayload::Local => Cause::AfterResponse,
        LastPayload::None | LastPayload::Unknown => Cause::Unknown,
    }
}

/// Whether what we sent last may only have been the answer to the peer's last word.
fn answers_last_word(incident: &Incident, traffic: &Traffic) -> bool {
    peers_last_word(incident) != LastWord::None && may_be_last_word(traffic.unacknowledged)
}

/// The client side resets: it gave up on an exchange, or none was open.
fn client_reset(incident: &Incident, traffic: &Traffic, payload: Option<Segment>) -> Cause {
    let at_close = incident.fin_by(Side::Local).map(|fin| fin.last_payload);
    if let Some(segment) = payload {
        // A response goes on, unless it may be a last word.
        let response = at_close == Some(LastPayload::Local) || !may_be_last_word(segment.len);
        return if response { Cause::ClientAbort } else { Cause::Unknown };
    }
    let unprompted = traffic.last_received.since(traffic.last_sent) >= IDLE;
    match traffic.last_payload {
        _ if may_be_last_word(traffic.unread) && unprompted => Cause::Unknown,
        _ if traffic.unread > 0 => Cause::ClientAbort,
        LastPayload::Local => Cause::ClientAbort,
        LastPayload::Remote => Cause::AfterResponse,
        LastPayload::None | LastPayload::Unknown => Cause::Unknown,
    }
}

/// Payload met a connection that the server had closed.
fn server_had_closed(incident: &Incident, traffic: &Traffic, segment: &Segment) -> Cause {
    let (order, rest_since, received, last_word) = match incident.fin_by(Side::Local) {
        Some(fin) => (fin.last_payload, fin.rest_since, fin.received, fin.last_word),
        None => (traffic.last_payload, traffic.last_activity(), traffic.received, LastWord::None),
    };
    let answered = acknowledged(incident, segment, traffic) != Acknowledged::Part;
    match order {
        // It closed without an answer: to the first request, or to the one before.
        LastPayload::None | LastPayload::Remote => Cause::AwaitingResponse,
        // Perhaps only the answer to our last word.
        _ if last_word != LastWord::None && may_be_last_word(segment.len) => Cause::Unknown,
        // More had come since it closed one way: when, and as part of what, is not known.
        _ if traffic.received != received => Cause::Unknown,
        // Sent before the whole response had arrived: still the same request.
        LastPayload::Local if !answered => Cause::EarlyClose,
        LastPayload::Local => race(incident),
        // A client that starts anew after a rest has had its answer.
        LastPayload::Unknown if answered && incident.at.since(rest_since) >= IDLE => race(incident),
        LastPayload::Unknown => Cause::Unknown,
    }
}

/// The server resets a connection that its client had closed before.
fn left_alone(traffic: &Traffic) -> Cause {
    match traffic.last_payload {
        LastPayload::Remote => Cause::ClientAbort,
        LastPayload::Local => Cause::AfterResponse,
        LastPayload::None | LastPayload::Unknown => Cause::Unknown,
    }
}

/// The server closed without reading all it had received: the next request, or the rest of one that it had
/// answered already. A client cannot react to a response in less than a round trip.
fn closed_unread(incident: &Incident, traffic: &Traffic, jiffy: Jiffy) -> Cause {
    let gap = traffic.last_received.since(traffic.last_sent);
    let round_trip = traffic.srtt.unwrap_or_default();
    let said_last_word = may_be_last_word(traffic.unacknowledged)
        && incident.at.since(traffic.last_sent) <= 2 * jiffy.length();
    match traffic.last_payload {
        _ if traffic.sent == 0 => Cause::AwaitingResponse,
        _ if traffic.unread_sent_after_full_ack => race(incident),
        _ if said_last_word => Cause::Unknown,
        LastPayload::Local => Cause::EarlyClose,
        LastPayload::Remote if gap > round_trip + jiffy.length() => race(incident),
        LastPayload::Remote if gap + jiffy.length() < round_trip => Cause::EarlyClose,
        LastPayload::Remote | LastPayload::None | LastPayload::Unknown => Cause::Unknown,
    }
}

/// The server resets with everything read.
fn server_closed(traffic: &Traffic) -> Cause {
    match traffic.last_payload {
        LastPayload::Remote => Cause::AwaitingResponse,
        LastPayload::Local => Cause::AfterResponse,
        LastPayload::None | LastPayload::Unknown => Cause::Unknown,
    }
}

fn round_trip(traffic: &Traffic, jiffy: Jiffy) -> Duration {
    traffic.srtt.unwrap_or_default() + jiffy.length()
}

/// The kernel's times are exact to one jiffy: what may have been within the window counts as within.
fn race_window(traffic: &Traffic, jiffy: Jiffy, policy: RacePolicy) -> Duration {
    policy.window.unwrap_or_else(|| 2 * traffic.srtt.unwrap_or_default() + RACE_MARGIN) + jiffy.length()
}

/// Whether all that this end had to send was acknowledged when the peer's FIN arrived. Where it was not, or the
/// connection had rested, the kernel side reported that FIN.
fn began_after_fin(incident: &Incident) -> bool {
    incident.state().is_some_and(TcpState::fin_received)
        && incident.fin.is_none_or(|fin| fin.by == Side::Remote && !fin.crossed)
}

fn peers_last_word(incident: &Incident) -> LastWord {
    incident.fin_by(Side::Remote).map_or(LastWord::None, |fin| fin.last_word)
}

/// Whether this host told the peer that it closed. A connection that died silently (a timeout, a repaired
/// socket) is as unknown to its peer's segments as one that never was.
fn closed_here(incident: &Incident) -> bool {
    matches!(incident.known(), Some(Known::Closed(_))) && incident.fin_by(Side::Local).is_some()
}

fn unread(incident: &Incident) -> u32 {
    incident.socket().map_or(0, |socket| socket.traffic.unread)
}

fn never_accepted(incident: &Incident) -> bool {
    incident.role == Some(Role::Server)
        && incident.socket().is_some_and(|socket| socket.detached && !socket.orphan)
}
