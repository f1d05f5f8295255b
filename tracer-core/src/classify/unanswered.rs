//! Connections that ended without a RST: whether a request was left without an answer.

use std::time::Duration;

use super::{
    cause::Cause,
    client_end,
    handshake::only_shook_hands_before,
    last_word::{closed_behind_last_word, ended_behind_last_word},
    reuse::{Reuse, goes_on, reuse},
    rules::{Context, Finding, closed_at_once, race},
    server_end,
    spoken::{HELD_UP, LONGEST_LAST_WORD, Spoken},
};
use crate::{
    matching::{Ending, FirstFin, IDLE, Incident, LastWord, may_be_last_word},
    model::{LastPayload, Role, Side, Silence, SocketSnapshot, TcpState, Traffic},
};

/// The longest payload that is taken for a protocol's last word, such as QUIT, whatever the protocol: no HTTP request
/// is as short.
const SHORT: u32 = 16;

/// Messages that are as long on average may be those of a protocol with such a last word; HTTP's are longer.
const SHORT_MESSAGES: u64 = 64;

/// So soon a server closes behind a `GOAWAY`, one round trip aside. One that fails mostly takes longer.
const AT_ONCE: Duration = Duration::from_millis(2);

/// Payload that a client sends within this time of connecting is one request, not a stream.
const ONE_REQUEST: Duration = Duration::from_secs(1);

/// A FIN came while a request was open.
pub(super) fn by_fin(incident: &Incident, socket: &SocketSnapshot, context: Context<'_>) -> Finding {
    let traffic = &socket.traffic;
    // Within one jiffy, by the number of segments alone: the other end may know better.
    if traffic.last_payload == LastPayload::Unknown {
        return Finding::Unclear;
    }
    match (incident.role, incident.fin) {
        (Some(Role::Server), Some(fin)) if fin.by == Side::Remote => client_closed(traffic, fin, context),
        (Some(Role::Server), Some(fin)) if !fin.request_open => {
            crossed_half_close(incident, traffic, fin, context)
        }
        (Some(Role::Server), _) => server_closed(incident, socket, context),
        (Some(Role::Client), Some(fin)) if fin.by == Side::Local => {
            we_closed(incident, traffic, fin, context)
        }
        (Some(Role::Client), _) => we_were_left(incident, traffic, context),
        (None, _) => Finding::Unclear,
    }
}

/// The server closed with a request taken, or lying unread behind a half-close.
fn server_closed(incident: &Incident, socket: &SocketSnapshot, context: Context<'_>) -> Finding {
    let traffic = &socket.traffic;
    if traffic.received_since_ack.is_none_or(|size| is_last_word(size, traffic))
        || ended_behind_last_word(traffic, incident.at)
    {
        return Finding::Nothing;
    }
    if traffic.unread > 0 && server_end::never_begun(traffic) {
        let raced = closed_at_once(incident, traffic.last_received, context);
        return Finding::Incident(if raced { race(incident) } else { Cause::NeverRead });
    }
    if goes_on(traffic, Role::Server) && incident.at.since(traffic.last_received) < IDLE {
        return Finding::Unclear;
    }
    let run = traffic.last_received.since(traffic.last_sent);
    if_answered(traffic, Role::Server, run, context)
}

/// A server that went on reading after its FIN threw a request away: it crossed the close. More of an upload that was
/// answered is no loss: the answer arrived.
fn crossed_half_close(
    incident: &Incident,
    traffic: &Traffic,
    fin: FirstFin,
    context: Context<'_>,
) -> Finding {
    let size = size_since(traffic.received, fin.received);
    let reuse = reuse(server_end::before(fin), context.knowledge);
    crossed(incident, size, Spoken::until_at_server(fin), fin, reuse)
}

fn crossed(incident: &Incident, size: u32, before: Spoken, fin: FirstFin, reuse: Reuse) -> Finding {
    match reuse {
        _ if size <= SHORT && !before.is_of(size) => Finding::Nothing,
        _ if before.may_answer_close(size, fin) => Finding::Nothing,
        // Right behind TLS' payload comes more than requests.
        Reuse::Shown if fin.rest() < IDLE && before.is_handshake() => Finding::Unclear,
        Reuse::Shown => Finding::Incident(race(incident)),
        Reuse::Continues => Finding::Nothing,
        Reuse::NotShown => Finding::Unclear,
    }
}

/// The client had closed, and the server closed as well without an answer.
fn client_closed(traffic: &Traffic, fin: FirstFin, context: Context<'_>) -> Finding {
    let waited = fin.at.since(traffic.last_received);
    let size = traffic.received_since_ack.or((fin.unread > 0).then_some(fin.unread));
    let are_short = mean(traffic.received, traffic.segments_received) <= SHORT_MESSAGES;
    match (waited >= IDLE, size) {
        _ if only_shook_hands_before(fin, traffic, Role::Server) => Finding::Unclear,
        (_, Some(size)) if waited < HELD_UP && is_last_word(size, traffic) => Finding::Nothing,
        (true, None) if waited < HELD_UP && are_short => Finding::Unclear,
        // Only a client that still waits shows that it was none.
        (false, size) if traffic.sent > 0 && size.is_none_or(|size| size <= LONGEST_LAST_WORD) => {
            Finding::Unclear
        }
        // More of a request that was answered already, by a client that has its answer.
        (false, _) if goes_on(traffic, Role::Server) => Finding::Unclear,
        _ if !answers(traffic.sent, context) => Finding::Unclear,
        _ if is_stream(traffic.segments_received, traffic.segments_sent) => Finding::Unclear,
        (true, _) => Finding::Incident(Cause::ClientAbort),
        (false, _) => Finding::Incident(Cause::AwaitingResponse),
    }
}

/// This client closed first: it gave up, or had closed one way and was left without an answer.
fn we_closed(incident: &Incident, traffic: &Traffic, fin: FirstFin, context: Context<'_>) -> Finding {
    let waited = fin.at.since(traffic.last_sent);
    if fin.half_closed {
        if fin.last_word != LastWord::None || closed_behind_last_word(fin) || goes_on(traffic, Role::Client) {
            return Finding::Unclear;
        }
        // A client that closes one way long after its request, and is followed at once, gave up.
        let followed = waited >= IDLE && incident.at.since(fin.at) < IDLE;
        let left = matches!(incident.ending, Ending::Fin { by: Side::Remote, .. }) && !followed;
        return Finding::Incident(if left { Cause::AwaitingResponse } else { Cause::ClientAbort });
    }
    let are_short = mean(traffic.sent, traffic.segments_sent) <= SHORT_MESSAGES;
    let patience = if are_short { HELD_UP } else { IDLE };
    match () {
        () if only_shook_hands_before(fin, traffic, Role::Client) => Finding::Unclear,
        // It closed together with its last payload: perhaps it expects no answer.
        () if waited < patience => Finding::Unclear,
        () if !answers(traffic.received, context) => Finding::Unclear,
        () if is_stream(traffic.segments_sent, traffic.segments_received) => Finding::Unclear,
        () => Finding::Incident(Cause::ClientAbort),
    }
}

/// The server closed while this client waited, or this client's request came behind the server's FIN.
fn we_were_left(incident: &Incident, traffic: &Traffic, context: Context<'_>) -> Finding {
    let fin = incident.fin_by(Side::Remote);
    if let Some(fin) = fin
        && (fin.crossed || client_end::sent_behind(traffic, fin))
    {
        // Of what was on its way when the FIN came, nobody knows how much it was.
        let size = if fin.crossed { u32::MAX } else { size_since(traffic.sent, fin.sent) };
        if fin.last_payload == LastPayload::None && fin.rest() < IDLE {
            return Finding::Unclear;
        }
        let reuse = reuse(client_end::before(traffic, Some(fin)), context.knowledge);
        return crossed(incident, size, Spoken::until_at_client(fin), fin, reuse);
    }
    if may_have_said_last_word(traffic, fin) {
        return Finding::Unclear;
    }
    match client_end::behind_servers_fin(incident, traffic, context) {
        Cause::AwaitingResponse => {
            let run = traffic.last_sent.since(traffic.last_received);
            if_answered(traffic, Role::Client, run, context)
        }
        Cause::Unknown | Cause::EarlyClose => Finding::Unclear,
        cause => Finding::Incident(cause),
    }
}

/// Whether what this client said last may have been a QUIT, or a `GOAWAY` behind TLS, to which its server closed: how
/// long it was is not known. An unreported FIN came right behind an answer, and then nothing but TLS' answer is sure.
fn may_have_said_last_word(traffic: &Traffic, fin: Option<FirstFin>) -> bool {
    let mean = mean(traffic.sent, traffic.segments_sent);
    let closed_within = |limit| fin.is_none_or(|fin| fin.at.since(traffic.last_sent) < limit);
    mean <= u64::from(SHORT)
        || (mean <= SHORT_MESSAGES && closed_within(IDLE))
        || fin.is_some_and(|fin| only_shook_hands_before(fin, traffic, Role::Client))
        || (Spoken::by_client(traffic).is_handshake()
            && closed_within(AT_ONCE + traffic.srtt.unwrap_or_default()))
}

/// Whether a client's payload of this size is its protocol's last word: TLS' only behind what the server said.
fn is_last_word(size: u32, traffic: &Traffic) -> bool {
    size <= SHORT || (traffic.sent > 0 && may_be_last_word(size))
}

/// How long segments were on average.
fn mean(bytes: u64, segments: u32) -> u64 {
    bytes / u64::from(segments.max(1))
}

fn size_since(sent: u64, before: u64) -> u32 {
    u32::try_from(sent.saturating_sub(before)).unwrap_or(u32::MAX)
}

/// The server took a request and closed: a loss, unless this server never answers anybody, as those that collect logs.
/// A first request comes at once; `run` is how long the client's payload has been coming.
fn if_answered(traffic: &Traffic, role: Role, run: Duration, context: Context<'_>) -> Finding {
    let (from_client, from_server) = traffic.segments(role);
    let answer = if role == Role::Server { traffic.sent } else { traffic.received };
    let stream = is_stream(from_client, from_server);
    let may_answer = match context.knowledge.answers {
        _ if answer > 0 => !stream || run < ONE_REQUEST,
        Some(answers) => answers,
        None => run < ONE_REQUEST && !stream,
    };
    if may_answer { Finding::Incident(Cause::AwaitingResponse) } else { Finding::Unclear }
}

/// Whether this server answers: on this connection, or on another one.
fn answers(answer: u64, context: Context<'_>) -> bool {
    answer > 0 || context.knowledge.answers == Some(true)
}

/// Whether payload flows one way, as logs do behind a handshake.
fn is_stream(from_client: u32, from_server: u32) -> bool {
    from_client >= 16 && from_client / 4 > from_server
}

/// Nobody closed: the connection never came to be, or died of silence. Where nothing was on its way, nothing was lost.
pub(super) fn silent(socket: &SocketSnapshot, silence: Silence) -> Finding {
    const ECONNREFUSED: u32 = 111;
    let traffic = &socket.traffic;
    let open = socket.role == Some(Role::Client) && traffic.last_payload == LastPayload::Local;
    match silence {
        Silence::Errno(ECONNREFUSED) if is_opening(socket) => Finding::Incident(Cause::Refused),
        _ if is_opening(socket) => Finding::Incident(Cause::Unreachable),
        _ if traffic.unacknowledged > 0 || traffic.unsent > 1 || open => {
            Finding::Incident(Cause::ConnectionLost)
        }
        _ => Finding::Nothing,
    }
}

fn is_opening(socket: &SocketSnapshot) -> bool {
    socket.state == TcpState::SynSent
}
