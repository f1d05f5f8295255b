//! What a matched reset meant: one pure function from evidence to verdict.

use std::time::Duration;

use crate::{
    classify::cause::{Cause, Errno, Mechanism, Race},
    classify::last_request::{fin_to_request, request, since_response},
    classify::mechanism::{errno, mechanism},
    decode::reasons::{Reason, Reasons},
    matching::first_fin::{Farewell, Fin, IDLE, may_be_farewell},
    matching::incident::{Holder, Matched, MatchedReset, Trigger, Unmatched},
    model::event::{LastPayload, Role, Segment, Side, TcpState, Traffic},
};

/// What a verdict depends on besides the reset itself.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The longest request→reset time that can still be a race when no FIN was seen; by default twice the
    /// smoothed round-trip time and [`RACE_MARGIN`].
    pub race_window: Option<Duration>,
    /// Resolution of the kernel's own times.
    pub jiffy: Duration,
    /// The running kernel's reset reasons.
    pub reasons: Reasons,
}

/// What the default race window allows beyond two round trips.
pub const RACE_MARGIN: Duration = Duration::from_millis(5);

/// The judgment on one reset.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What it meant for the requests.
    pub cause: Cause,
    /// Which crossing it was, for a keep-alive race.
    pub race: Option<Race>,
    /// How the kernel came to send it; `None` for a received one.
    pub mechanism: Option<Mechanism>,
    /// What the application on this host sees.
    pub errno: Option<Errno>,
    /// From the last payload before the last request to that request.
    pub idle: Option<Duration>,
    /// From the last request to the reset.
    pub request_to_reset: Option<Duration>,
    /// From the FIN to the last request in seconds; negative when the request came first.
    pub fin_to_request: Option<f64>,
    /// From the last response payload to the reset.
    pub since_response: Option<Duration>,
}

/// Judges a reset.
#[must_use]
pub fn classify(reset: &MatchedReset, rules: &Rules) -> Verdict {
    let mechanism = (reset.trigger != Trigger::Received).then(|| mechanism(reset, &rules.reasons));
    let cause = cause(reset, mechanism, rules);
    let race = (cause == Cause::KeepaliveRace).then(|| race(reset));
    let request = request(reset, cause);
    Verdict {
        cause,
        race,
        mechanism,
        errno: errno(reset, mechanism),
        idle: request.and_then(|request| request.idle),
        request_to_reset: request.map(|request| reset.at.since(request.at)),
        fin_to_request: request.and_then(|request| fin_to_request(reset, request, race)),
        since_response: since_response(reset),
    }
}

/// The rules, first match wins.
fn cause(reset: &MatchedReset, mechanism: Option<Mechanism>, rules: &Rules) -> Cause {
    let meaning = reset.reason.and_then(|reason| rules.reasons.meaning(reason));
    match (mechanism, reset.state) {
        (None, Some(TcpState::SynSent)) => return Cause::Refused,
        (Some(Mechanism::NoSocket), _) if reset.segment().is_some_and(|segment| segment.opening) => {
            return Cause::Refused;
        }
        (Some(Mechanism::Listener), _) if meaning == Some(Reason::InvalidSyn) => {
            return Cause::BacklogOverflow;
        }
        (Some(_), Some(TcpState::SynRecv)) => return Cause::BacklogOverflow,
        (Some(Mechanism::Abort), _) => return Cause::Killed,
        (Some(Mechanism::Disconnect), _) if never_accepted(reset) => return Cause::Killed,
        (Some(Mechanism::Memory), _) => return Cause::OutOfResources,
        (Some(Mechanism::Keepalive), _) => return Cause::TcpKeepalive,
        (Some(Mechanism::Protocol), _) => return Cause::ProtocolError,
        // The payload that counts as unread is hidden from this socket (MPTCP keeps it elsewhere).
        (Some(Mechanism::UnreadClose), _) if unread(reset) == 0 => return Cause::Unknown,
        (Some(Mechanism::NoSocket | Mechanism::Listener), _) if !closed_here(reset) => return stale(reset),
        _ => {}
    }
    let Some(socket) = &reset.socket else {
        return Cause::Unknown;
    };
    let payload = reset.payload();
    if !socket.traffic.any() && payload.is_none() {
        return Cause::NoRequest;
    }
    match (reset.role, reset.trigger) {
        (Role::Unknown, _) => Cause::Unknown,
        (Role::Client, Trigger::Received) => client_was_reset(reset, &socket.traffic, rules),
        (Role::Server, Trigger::Received) => server_was_reset(reset, &socket.traffic),
        (Role::Client, _) => client_reset(reset, &socket.traffic, payload),
        (Role::Server, Trigger::Active { .. }) if socket.peer_fin => left_alone(&socket.traffic),
        (Role::Server, _) => match payload {
            Some(segment) => server_had_closed(reset, &socket.traffic, &segment),
            None if socket.traffic.unread > 0 => closed_unread(reset, &socket.traffic, rules),
            None => server_closed(&socket.traffic),
        },
    }
}

/// A segment of a connection that this host does not know. A tracer that has just started, or had to forget
/// connections, cannot say so; nor can one where the kernel gives no reason and the segment may have belonged to
/// an unfinished handshake.
fn stale(reset: &MatchedReset) -> Cause {
    let maybe_embryonic =
        reset.holder == Holder::Listener && reset.reason.is_none() && reset.payload().is_none();
    match reset.matched {
        Matched::None(Unmatched::NotSeen | Unmatched::Evicted) => Cause::Unknown,
        Matched::None(_) if maybe_embryonic => Cause::Unknown,
        _ => Cause::StaleConnection,
    }
}

/// The client's view: all it has is its own side.
fn client_was_reset(reset: &MatchedReset, traffic: &Traffic, rules: &Rules) -> Cause {
    let said_farewell = peers_farewell(reset) == Farewell::Said;
    match traffic.last_payload {
        _ if answers_farewell(reset, traffic) => Cause::Unknown,
        // The server had not seen our payload when it said farewell: it crossed.
        LastPayload::Remote if said_farewell && traffic.unacknowledged > 0 => Cause::KeepaliveRace,
        // It was answered while it was still being sent.
        LastPayload::Remote if traffic.unsent > 0 || traffic.unacknowledged > 0 => Cause::EarlyClose,
        LastPayload::Remote => Cause::AfterResponse,
        LastPayload::None | LastPayload::Unknown => Cause::Unknown,
        LastPayload::Local if traffic.received == 0 => Cause::AwaitingResponse,
        LastPayload::Local if began_after_fin(reset) => Cause::KeepaliveRace,
        // Still writing when the answer came: no new request.
        LastPayload::Local
            if traffic.unsent > 0
                && traffic.last_sent.since(traffic.last_received) <= round_trip(traffic, rules) =>
        {
            Cause::EarlyClose
        }
        LastPayload::Local if fin_arrived(reset) => Cause::KeepaliveRace,
        LastPayload::Local => {
            let window = race_window(traffic, rules);
            let in_window = !traffic.retransmitting && reset.at.since(traffic.last_sent) <= window;
            if in_window { Cause::KeepaliveRace } else { Cause::AwaitingResponse }
        }
    }
}

/// The server's view of a RST from its client.
fn server_was_reset(reset: &MatchedReset, traffic: &Traffic) -> Cause {
    match traffic.last_payload {
        _ if answers_farewell(reset, traffic) => Cause::Unknown,
        // A farewell is no request.
        LastPayload::Remote if peers_farewell(reset) != Farewell::None => Cause::Unknown,
        LastPayload::Remote => Cause::ClientAbort,
        // The client's RST overtook a response that was still under way.
        LastPayload::Local if traffic.unacknowledged > 0 => Cause::ClientAbort,
        LastPayload::Local => Cause::AfterResponse,
        LastPayload::None | LastPayload::Unknown => Cause::Unknown,
    }
}

/// Whether what we sent last may only have been the answer to the peer's farewell.
fn answers_farewell(reset: &MatchedReset, traffic: &Traffic) -> bool {
    peers_farewell(reset) != Farewell::None && may_be_farewell(traffic.unacknowledged)
}

/// The client side resets: it gave up on an exchange, or none was open.
fn client_reset(reset: &MatchedReset, traffic: &Traffic, payload: Option<Segment>) -> Cause {
    let at_close = reset.fin_by(Side::Local).map(|fin| fin.last_payload);
    if let Some(segment) = payload {
        // A response goes on, unless it may be a farewell.
        let response = at_close == Some(LastPayload::Local) || !may_be_farewell(segment.len);
        return if response { Cause::ClientAbort } else { Cause::Unknown };
    }
    let unprompted = traffic.last_received.since(traffic.last_sent) >= IDLE;
    match traffic.last_payload {
        _ if may_be_farewell(traffic.unread) && unprompted => Cause::Unknown,
        _ if traffic.unread > 0 => Cause::ClientAbort,
        LastPayload::Local => Cause::ClientAbort,
        LastPayload::Remote => Cause::AfterResponse,
        LastPayload::None | LastPayload::Unknown => Cause::Unknown,
    }
}

/// Payload met a connection that the server had closed.
fn server_had_closed(reset: &MatchedReset, traffic: &Traffic, segment: &Segment) -> Cause {
    let (order, rest_since, received, farewell) = match reset.fin_by(Side::Local) {
        Some(fin) => (fin.last_payload, fin.rest_since, fin.received, fin.farewell),
        None => (traffic.last_payload, traffic.last_activity(), traffic.received, Farewell::None),
    };
    let answered = acknowledges(reset, segment, traffic) != Acknowledged::Part;
    match order {
        // It closed without an answer: to the first request, or to the one before.
        LastPayload::None | LastPayload::Remote => Cause::AwaitingResponse,
        // Perhaps only the answer to our farewell.
        _ if farewell != Farewell::None && may_be_farewell(segment.len) => Cause::Unknown,
        // More had come since it closed one way: when, and as part of what, is not known.
        _ if traffic.received != received => Cause::Unknown,
        // Sent before the whole response had arrived: still the same request.
        LastPayload::Local if !answered => Cause::EarlyClose,
        LastPayload::Local => Cause::KeepaliveRace,
        // A client that starts anew after a rest has had its answer.
        LastPayload::Unknown if answered && reset.at.since(rest_since) >= IDLE => Cause::KeepaliveRace,
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
fn closed_unread(reset: &MatchedReset, traffic: &Traffic, rules: &Rules) -> Cause {
    let gap = traffic.last_received.since(traffic.last_sent);
    let round_trip = traffic.srtt.unwrap_or_default();
    let said_farewell =
        may_be_farewell(traffic.unacknowledged) && reset.at.since(traffic.last_sent) <= 2 * rules.jiffy;
    match traffic.last_payload {
        _ if traffic.sent == 0 => Cause::AwaitingResponse,
        _ if traffic.unread_knew_all => Cause::KeepaliveRace,
        _ if said_farewell => Cause::Unknown,
        LastPayload::Local => Cause::EarlyClose,
        LastPayload::Remote if gap > round_trip + rules.jiffy => Cause::KeepaliveRace,
        LastPayload::Remote if gap + rules.jiffy < round_trip => Cause::EarlyClose,
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

/// Which crossing a keep-alive race was.
fn race(reset: &MatchedReset) -> Race {
    let Some(traffic) = reset.socket.as_ref().map(|socket| &socket.traffic) else {
        return Race::Unknown;
    };
    match reset.trigger {
        Trigger::Passive(segment) => match acknowledges(reset, &segment, traffic) {
            Acknowledged::Fin => Race::FinUnprocessed,
            Acknowledged::All => Race::FinInFlight,
            Acknowledged::Part => Race::Unknown,
        },
        // Closed with the request unread, after a FIN that it did or did not acknowledge.
        Trigger::Active { .. } if reset.fin.is_some() => match reset.state {
            Some(TcpState::FinWait2) if traffic.unread_knew_all => Race::FinUnprocessed,
            _ => Race::Unknown,
        },
        Trigger::Active { .. } => Race::FinNotSent,
        Trigger::Received if fin_arrived(reset) => match reset.fin {
            Some(Fin { crossed: true, .. }) => Race::FinInFlight,
            Some(_) => Race::FinUnprocessed,
            // A FIN that payload was crossing would have been reported: see `lifecycle.rs` of the kernel side.
            None if traffic.last_sent > traffic.last_ack => Race::FinUnprocessed,
            None => Race::Unknown,
        },
        // Acknowledged without a FIN: the server's kernel had queued it on an open connection.
        Trigger::Received if traffic.unacknowledged == 0 => Race::FinNotSent,
        Trigger::Received => Race::Unknown,
    }
}

/// How much of what we sent the provoking segment acknowledges.
#[derive(PartialEq, Eq)]
enum Acknowledged {
    /// Not the whole response.
    Part,
    /// The whole response, not the FIN.
    All,
    /// The FIN too.
    Fin,
}

fn acknowledges(reset: &MatchedReset, segment: &Segment, traffic: &Traffic) -> Acknowledged {
    // A farewell stands between the response and the FIN, and need not have arrived.
    let response_end = reset.fin_by(Side::Local).map_or(traffic.payload_end, |fin| fin.response_end);
    let beyond = segment.ack.wrapping_sub(response_end);
    match segment.ack.wrapping_sub(traffic.payload_end) {
        1 => Acknowledged::Fin,
        _ if beyond <= traffic.payload_end.wrapping_sub(response_end) => Acknowledged::All,
        _ => Acknowledged::Part,
    }
}

fn round_trip(traffic: &Traffic, rules: &Rules) -> Duration {
    traffic.srtt.unwrap_or_default() + rules.jiffy
}

/// The kernel's times are exact to one jiffy: what may have been within the window counts as within.
fn race_window(traffic: &Traffic, rules: &Rules) -> Duration {
    let window = rules.race_window;
    window.unwrap_or_else(|| 2 * traffic.srtt.unwrap_or_default() + RACE_MARGIN) + rules.jiffy
}

/// Whether all that this end had to send was acknowledged when the peer's FIN arrived. Where it was not, or the connection had
/// rested, the kernel side reported that FIN.
fn began_after_fin(reset: &MatchedReset) -> bool {
    reset.state.is_some_and(TcpState::fin_received)
        && reset.fin.is_none_or(|fin| fin.by == Side::Remote && !fin.crossed)
}

fn fin_arrived(reset: &MatchedReset) -> bool {
    reset.state.is_some_and(TcpState::fin_received) || reset.fin_by(Side::Remote).is_some()
}

fn peers_farewell(reset: &MatchedReset) -> Farewell {
    reset.fin_by(Side::Remote).map_or(Farewell::None, |fin| fin.farewell)
}

/// Whether this host told the peer that it closed. A connection that died silently (a timeout, a repaired
/// socket) is as unknown to its peer's segments as one that never was.
fn closed_here(reset: &MatchedReset) -> bool {
    reset.matched == Matched::Closed && reset.fin_by(Side::Local).is_some()
}

fn unread(reset: &MatchedReset) -> u32 {
    reset.socket.as_ref().map_or(0, |socket| socket.traffic.unread)
}

fn never_accepted(reset: &MatchedReset) -> bool {
    reset.role == Role::Server && reset.socket.as_ref().is_some_and(|socket| socket.no_file && !socket.orphan)
}
