//! What a matched reset meant: one pure function from evidence to verdict.

use std::time::Duration;

use crate::{
    cause::{Cause, Errno, Mechanism, Race},
    event::{LastPayload, Role, Segment, Side, Socket, TcpState, Traffic},
    kernel::reasons::{Reason, Reasons},
    matched::{Fin, Holder, Matched, MatchedReset, Trigger, Unmatched},
    time::KernelNs,
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
    let mechanism = (reset.trigger != Trigger::Received).then(|| mechanism(reset, rules));
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
        fin_to_request: request.zip(reset.fin).map(|(request, fin)| fin_to_request(request.at, fin, race)),
        since_response: since_response(reset),
    }
}

/// The rules, first match wins.
fn cause(reset: &MatchedReset, mechanism: Option<Mechanism>, rules: &Rules) -> Cause {
    let meaning = reset.reason.and_then(|reason| rules.reasons.meaning(reason));
    let segment = match reset.trigger {
        Trigger::Passive(segment) => Some(segment),
        _ => None,
    };
    match (mechanism, reset.state) {
        (None, Some(TcpState::SynSent)) => return Cause::Refused,
        (Some(Mechanism::NoSocket), _) if segment.is_some_and(|segment| segment.opening) => {
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
        (Some(Mechanism::NoSocket | Mechanism::Listener), _) if !closed_here(reset) => {
            // A tracer that has just started, or had to forget connections, cannot know.
            return match reset.matched {
                Matched::None(Unmatched::NotSeen | Unmatched::Evicted) => Cause::Unknown,
                _ => Cause::StaleConnection,
            };
        }
        _ => {}
    }
    let Some(socket) = &reset.socket else {
        return Cause::Unknown;
    };
    let payload = segment.filter(|segment| segment.len > 0);
    if !socket.traffic.any() && payload.is_none() {
        return Cause::NoRequest;
    }
    match (reset.role, reset.trigger) {
        (Role::Unknown, _) => Cause::Unknown,
        (Role::Client, Trigger::Received) => client_was_reset(reset, &socket.traffic, rules),
        (Role::Server, Trigger::Received) => server_was_reset(&socket.traffic),
        (Role::Client, _) => client_reset(&socket.traffic, payload),
        (Role::Server, _) => server_reset(socket, payload),
    }
}

/// The client's view: all it has is its own side.
fn client_was_reset(reset: &MatchedReset, traffic: &Traffic, rules: &Rules) -> Cause {
    match traffic.last_payload {
        LastPayload::Remote => Cause::AfterResponse,
        LastPayload::None | LastPayload::Unknown => Cause::Unknown,
        LastPayload::Local if traffic.received == 0 => Cause::AwaitingResponse,
        LastPayload::Local => {
            if fin_arrived(reset) {
                // Still writing when the FIN and the answer came: no new request.
                let one_run = traffic.last_sent.since(traffic.last_received) <= round_trip(traffic, rules);
                if traffic.unsent > 0 && one_run { Cause::EarlyClose } else { Cause::KeepaliveRace }
            } else if reset.at.since(traffic.last_sent) <= race_window(traffic, rules) {
                Cause::KeepaliveRace
            } else {
                Cause::AwaitingResponse
            }
        }
    }
}

/// The server's view of a RST from its client.
fn server_was_reset(traffic: &Traffic) -> Cause {
    match traffic.last_payload {
        LastPayload::Remote => Cause::ClientAbort,
        // The client's RST overtook a response that was still under way.
        LastPayload::Local if traffic.unacknowledged > 0 => Cause::ClientAbort,
        LastPayload::Local => Cause::AfterResponse,
        LastPayload::None | LastPayload::Unknown => Cause::Unknown,
    }
}

/// The client side resets: it gave up on an exchange, or none was open.
fn client_reset(traffic: &Traffic, payload: Option<Segment>) -> Cause {
    if payload.is_some() || traffic.unread > 0 {
        return Cause::ClientAbort;
    }
    match traffic.last_payload {
        LastPayload::Local => Cause::ClientAbort,
        LastPayload::Remote => Cause::AfterResponse,
        LastPayload::None | LastPayload::Unknown => Cause::Unknown,
    }
}

/// The server side resets: it knows the most.
fn server_reset(socket: &Socket, payload: Option<Segment>) -> Cause {
    let traffic = &socket.traffic;
    if let Some(segment) = payload {
        return match traffic.last_payload {
            // It closed without an answer: to the first request, or to the one before.
            LastPayload::None | LastPayload::Remote => Cause::AwaitingResponse,
            LastPayload::Unknown => Cause::Unknown,
            // Sent before the whole response had arrived: still the same request.
            LastPayload::Local if acknowledges(&segment, traffic) == Acknowledged::Part => Cause::EarlyClose,
            LastPayload::Local => Cause::KeepaliveRace,
        };
    }
    if traffic.unread > 0 {
        return closed_unread(traffic);
    }
    match traffic.last_payload {
        LastPayload::Remote => Cause::AwaitingResponse,
        LastPayload::Local => Cause::AfterResponse,
        LastPayload::None | LastPayload::Unknown => Cause::Unknown,
    }
}

/// The server closed without reading all it had received.
///
/// Whether the unread payload is the next request, or the rest of one that was answered already, shows in the
/// time between response and unread payload: a client cannot react to a response in less than a round trip.
fn closed_unread(traffic: &Traffic) -> Cause {
    if traffic.sent == 0 {
        return Cause::AwaitingResponse;
    }
    match traffic.last_payload {
        LastPayload::Local => Cause::EarlyClose,
        LastPayload::Remote => {
            let gap = traffic.last_received.since(traffic.last_sent);
            match traffic.srtt {
                Some(srtt) if gap < srtt => Cause::EarlyClose,
                _ => Cause::KeepaliveRace,
            }
        }
        LastPayload::None | LastPayload::Unknown => Cause::Unknown,
    }
}

/// Which crossing a keep-alive race was.
fn race(reset: &MatchedReset) -> Race {
    let Some(traffic) = reset.socket.as_ref().map(|socket| &socket.traffic) else {
        return Race::Unknown;
    };
    match (reset.trigger, reset.role) {
        (Trigger::Passive(segment), _) => match acknowledges(&segment, traffic) {
            Acknowledged::Fin => Race::FinUnprocessed,
            Acknowledged::All => Race::FinInFlight,
            Acknowledged::Part => Race::Unknown,
        },
        // Closed with the request unread. If a FIN had left before, the kernel does not remember which was first.
        (Trigger::Active { .. }, _) if reset.fin.is_some() => Race::Unknown,
        (Trigger::Active { .. }, _) => Race::FinNotSent,
        (Trigger::Received, _) if fin_arrived(reset) => match reset.fin {
            Some(Fin { crossed: true, .. }) => Race::FinInFlight,
            Some(_) => Race::FinUnprocessed,
            // A FIN behind a request would have been reported: see `lifecycle.rs` of the kernel side.
            None => match traffic.last_sent.cmp(&traffic.last_ack) {
                std::cmp::Ordering::Greater => Race::FinUnprocessed,
                std::cmp::Ordering::Less => Race::FinInFlight,
                std::cmp::Ordering::Equal => Race::Unknown,
            },
        },
        // Acknowledged without a FIN: the server's kernel had queued it on an open connection.
        (Trigger::Received, _) if traffic.unacknowledged == 0 => Race::FinNotSent,
        (Trigger::Received, _) => Race::Unknown,
    }
}

/// How much of what we sent the provoking segment acknowledges.
#[derive(PartialEq, Eq)]
enum Acknowledged {
    /// Not all payload.
    Part,
    /// All payload, not the FIN.
    All,
    /// The FIN too.
    Fin,
}

fn acknowledges(segment: &Segment, traffic: &Traffic) -> Acknowledged {
    match segment.ack.wrapping_sub(traffic.payload_end) {
        0 => Acknowledged::All,
        1 => Acknowledged::Fin,
        _ => Acknowledged::Part,
    }
}

/// The last request, where it can be told apart.
#[derive(Clone, Copy)]
struct Request {
    at: KernelNs,
    idle: Option<Duration>,
}

fn request(reset: &MatchedReset, cause: Cause) -> Option<Request> {
    let traffic = &reset.socket.as_ref()?.traffic;
    let payload = matches!(reset.trigger, Trigger::Passive(segment) if segment.len > 0);
    // Only the end of a request that was still being sent is known, and it says nothing of its beginning.
    if cause == Cause::EarlyClose {
        return None;
    }
    match (reset.role, traffic.last_payload) {
        (Role::Client, LastPayload::Local) => Some(request_at(traffic.last_sent, traffic.last_received)),
        (Role::Server, LastPayload::Remote) => Some(request_at(traffic.last_received, traffic.last_sent)),
        // The segment that provoked the reset is the request.
        (Role::Server, _) if payload => Some(request_at(reset.at, traffic.last_activity())),
        _ => None,
    }
}

fn request_at(at: KernelNs, before: KernelNs) -> Request {
    Request { at, idle: Some(at.since(before)) }
}

/// The sign follows what the crossing proves, where one jiffy blurs it.
fn fin_to_request(request: KernelNs, fin: Fin, race: Option<Race>) -> f64 {
    let seconds = request.seconds_after(fin.at);
    match race {
        Some(Race::FinInFlight) if fin.by == Side::Remote => seconds.min(0.0),
        Some(Race::FinUnprocessed) => seconds.max(0.0),
        _ => seconds,
    }
}

fn since_response(reset: &MatchedReset) -> Option<Duration> {
    let traffic = &reset.socket.as_ref()?.traffic;
    match reset.role {
        Role::Client if traffic.received > 0 => Some(reset.at.since(traffic.last_received)),
        Role::Server if traffic.sent > 0 => Some(reset.at.since(traffic.last_sent)),
        _ => None,
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

fn fin_arrived(reset: &MatchedReset) -> bool {
    reset.state.is_some_and(TcpState::fin_received) || reset.fin.is_some_and(|fin| fin.by == Side::Remote)
}

/// Whether this host told the peer that it closed. A connection that died silently (a timeout, a repaired
/// socket) is as unknown to its peer's segments as one that never was.
fn closed_here(reset: &MatchedReset) -> bool {
    reset.matched == Matched::Closed && reset.fin.is_some_and(|fin| fin.by == Side::Local)
}

fn never_accepted(reset: &MatchedReset) -> bool {
    reset.socket.as_ref().is_some_and(|socket| socket.no_file && !socket.orphan)
}

/// How the kernel came to send the RST: by its own reason where it gives one, by the socket otherwise.
fn mechanism(reset: &MatchedReset, rules: &Rules) -> Mechanism {
    let meaning = reset.reason.and_then(|reason| rules.reasons.meaning(reason));
    match (reset.trigger, reset.holder) {
        (_, Holder::TimeWait) => Mechanism::TimeWait,
        (_, Holder::Listener) => Mechanism::Listener,
        (_, Holder::NoSocket) => Mechanism::NoSocket,
        (Trigger::Passive(segment), Holder::Connection) => answering(reset, &segment, meaning),
        (Trigger::Active { after_close }, _) => active(reset, after_close, meaning),
        (Trigger::Received, _) => Mechanism::Unknown,
    }
}

fn answering(reset: &MatchedReset, segment: &Segment, meaning: Option<Reason>) -> Mechanism {
    let closed_by_process = reset.socket.as_ref().is_some_and(|socket| socket.orphan);
    match meaning {
        Some(Reason::Protocol) => Mechanism::Protocol,
        // With `TCP_LINGER2` below 0 even a bare ACK ends an orphan.
        Some(Reason::AbortOnData) if segment.len == 0 => Mechanism::Linger,
        Some(Reason::AbortOnData) => Mechanism::OrphanData,
        _ if closed_by_process && segment.len == 0 => Mechanism::Linger,
        _ if closed_by_process => Mechanism::OrphanData,
        _ => Mechanism::Protocol,
    }
}

fn active(reset: &MatchedReset, after_close: bool, meaning: Option<Reason>) -> Mechanism {
    let Some(socket) = &reset.socket else { return Mechanism::Unknown };
    let lingers = socket.linger_zero && !socket.no_file;
    match meaning {
        Some(Reason::AbortOnClose) => Mechanism::UnreadClose,
        Some(Reason::AbortOnLinger) => Mechanism::Linger,
        Some(Reason::AbortOnMemory) => Mechanism::Memory,
        Some(Reason::KeepaliveTimeout) => Mechanism::Keepalive,
        Some(Reason::DisconnectWithData) if !lingers => Mechanism::Disconnect,
        Some(Reason::State | Reason::DisconnectWithData) | None if after_close && lingers => {
            Mechanism::Linger
        }
        Some(Reason::State) if after_close => Mechanism::Disconnect,
        Some(Reason::State) => Mechanism::Abort,
        None if after_close && socket.traffic.unread > 0 => Mechanism::UnreadClose,
        None if after_close && socket.no_file && !socket.orphan => Mechanism::Disconnect,
        None if !after_close && socket.probes_out > 0 => Mechanism::Keepalive,
        None if !after_close && socket.orphan => Mechanism::Memory,
        None if !after_close => Mechanism::Abort,
        _ => Mechanism::Unknown,
    }
}

/// What `tcp_reset` and its like leave in `sk_err` (`net/ipv4/tcp_input.c`); nobody sees an orphan's.
fn errno(reset: &MatchedReset, mechanism: Option<Mechanism>) -> Option<Errno> {
    if reset.socket.as_ref()?.orphan {
        return None;
    }
    match (mechanism, reset.state?) {
        (None, TcpState::SynSent) => Some(Errno::ConnRefused),
        (None, TcpState::CloseWait) => Some(Errno::Pipe),
        (None, _) => Some(Errno::ConnReset),
        (Some(Mechanism::Keepalive), _) => Some(Errno::TimedOut),
        (Some(Mechanism::Abort), _) => Some(Errno::ConnAborted),
        _ => None,
    }
}
