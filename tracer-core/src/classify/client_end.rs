//! What a RST meant, by the client's own socket.

use std::time::Duration;

use super::{
    cause::Cause,
    handshake::{only_shook_hands_before, reset_behind_handshake},
    last_word::{
        answers_last_word, closed_behind_last_word, holds_last_word, is_prompt, peers_last_word,
        reset_behind_last_word,
    },
    reuse::{Before, goes_on},
    rules::{Context, race},
    server_end::met_close,
    spoken::Spoken,
};
use crate::{
    matching::{Ending, FirstFin, IDLE, Incident, LastWord, may_be_last_word},
    model::{Jiffy, KernelNs, LastPayload, Role, Segment, Side, TcpState, Traffic},
};

/// The cause, by what the client's end shows.
pub(super) fn cause(incident: &Incident, traffic: &Traffic, context: Context<'_>) -> Cause {
    match (&incident.ending, incident.fin_by(Side::Local)) {
        (Ending::Received(_), Some(fin)) => reset_behind_own_fin(incident, traffic, fin, context),
        (Ending::Received(_), None) => was_reset(incident, traffic, context),
        _ => did_reset(incident, traffic, context),
    }
}

/// A RST came back on a connection that this client had closed.
fn reset_behind_own_fin(
    incident: &Incident,
    traffic: &Traffic,
    fin: FirstFin,
    context: Context<'_>,
) -> Cause {
    match fin.last_payload {
        // An alert, perhaps, which nobody answers.
        _ if fin.half_closed
            && traffic.last_payload == LastPayload::Local
            && fin.at.since(fin.rest_since) < IDLE
            && Spoken::until_at_client(fin).is_handshake() =>
        {
            Cause::Unknown
        }
        // It still waited, or got its answer after all.
        _ if fin.half_closed && traffic.last_payload == LastPayload::Local => Cause::AwaitingResponse,
        _ if fin.half_closed => was_reset(incident, traffic, context),
        LastPayload::Local if may_be_last_word(traffic.unacknowledged) => Cause::Unknown,
        LastPayload::Local if gave_up(fin, traffic, context) => Cause::ClientAbort,
        LastPayload::Remote => Cause::AfterResponse,
        _ => Cause::Unknown,
    }
}

/// Whether this client closed on a request that it had waited for, or on which nothing had come yet.
pub(super) fn gave_up(fin: FirstFin, traffic: &Traffic, context: Context<'_>) -> bool {
    let alone = traffic.last_sent.since(traffic.last_received) > context.facts.jiffy.length();
    fin.request_open
        && fin.last_word == LastWord::None
        && fin.last_payload == LastPayload::Local
        && !fin.half_closed
        && !closed_behind_last_word(fin)
        && (alone || fin.at.since(fin.rest_since) >= IDLE)
}

/// The server, or something on the path, reset a connection that the client had not closed.
fn was_reset(incident: &Incident, traffic: &Traffic, context: Context<'_>) -> Cause {
    let said_last_word = peers_last_word(incident) == LastWord::Said;
    match traffic.last_payload {
        _ if answers_last_word(incident, traffic) => Cause::Unknown,
        // An alert that answers the close.
        LastPayload::Local if answers_close(incident, traffic) => Cause::AfterResponse,
        LastPayload::Local if incident.peer_fin_arrived() && may_be_last_word(traffic.unacknowledged) => {
            Cause::Unknown
        }
        LastPayload::Local if said_last_word_behind_fin(incident, traffic) => Cause::Unknown,
        // The server had not seen our payload when it said its last word: it crossed.
        LastPayload::Remote if said_last_word && traffic.unacknowledged > 0 => race(incident),
        LastPayload::Remote if holds_last_word(incident) => Cause::Unknown,
        // It was answered while it was still being sent.
        LastPayload::Remote if traffic.unsent > 0 || traffic.unacknowledged > 0 => Cause::EarlyClose,
        // A last word of TLS behind a request, perhaps: its FIN says that nothing more was to come.
        LastPayload::Remote if incident.peer_fin_arrived() && Spoken::by_client(traffic).is_handshake() => {
            Cause::Unknown
        }
        LastPayload::Remote if incident.at.since(traffic.last_received) < IDLE => Cause::ResponseCut,
        LastPayload::Remote => Cause::AfterResponse,
        LastPayload::None | LastPayload::Unknown => Cause::Unknown,
        LastPayload::Local if incident.peer_fin_arrived() => behind_servers_fin(incident, traffic, context),
        LastPayload::Local => without_fin(incident, traffic, context),
    }
}

/// Whether what this client sent behind the server's FIN may be its own last word.
fn said_last_word_behind_fin(incident: &Incident, traffic: &Traffic) -> bool {
    incident.fin_by(Side::Remote).is_some_and(|fin| {
        !fin.crossed
            && sent_behind(traffic, fin)
            && Spoken::until_at_client(fin).may_answer_close(traffic.unacknowledged, fin)
    })
}

/// Whether what this client sent last is TLS' answer to the server's FIN, see `server_end`.
fn answers_close(incident: &Incident, traffic: &Traffic) -> bool {
    incident.fin_by(Side::Remote).is_some_and(|fin| {
        may_be_last_word(traffic.unacknowledged)
            && sent_behind(traffic, fin)
            && is_prompt(traffic.last_sent.since(fin.at), traffic)
            && Spoken::until_at_client(fin).is_handshake()
    })
}

/// A request met the server's FIN, or came behind it.
pub(super) fn behind_servers_fin(incident: &Incident, traffic: &Traffic, context: Context<'_>) -> Cause {
    let fin = incident.fin_by(Side::Remote);
    if let Some(fin) = fin
        && !fin.crossed
        && !sent_behind(traffic, fin)
    {
        // It had been taken before: the idle timer did not notice, or something else closed.
        return taken_before_fin(incident, traffic, fin.at, context);
    }
    // Still writing when the answer came: no new request.
    if fin.is_some_and(|fin| fin.crossed)
        && traffic.received > 0
        && is_still_writing(traffic, context.facts.jiffy)
    {
        return Cause::EarlyClose;
    }
    if traffic.received == 0 && fin.is_some_and(|fin| fin.rest() < IDLE) {
        return Cause::AwaitingResponse;
    }
    met_close(incident, before(traffic, fin), context)
}

/// Whether payload was sent after the server's FIN had come.
pub(super) fn sent_behind(traffic: &Traffic, fin: FirstFin) -> bool {
    traffic.sent > fin.sent || traffic.last_sent > fin.at
}

/// The server's kernel had the request when the server closed.
fn taken_before_fin(incident: &Incident, traffic: &Traffic, fin_at: KernelNs, context: Context<'_>) -> Cause {
    let at_its_age = traffic.received > 0
        && fin_at.since(traffic.last_sent) < IDLE
        && context.knowledge.agrees(fin_at.since(traffic.last_received));
    match () {
        () if at_its_age => race(incident),
        () if goes_on(traffic, Role::Client) => Cause::EarlyClose,
        () => Cause::AwaitingResponse,
    }
}

/// What had passed before the request that met the server's FIN: an unreported FIN came right behind a response.
pub(super) fn before(traffic: &Traffic, fin: Option<FirstFin>) -> Before {
    match fin {
        // The request was on its way when the FIN came: what rested is known from its own socket.
        Some(fin) if fin.crossed => Before {
            rest: fin.at.since(traffic.last_received),
            from_client: fin.segments_sent.saturating_sub(1),
            from_server: fin.segments_received,
        },
        Some(fin) => {
            Before { rest: fin.rest(), from_client: fin.segments_sent, from_server: fin.segments_received }
        }
        // How many segments the request took is not known.
        None => Before {
            rest: Duration::ZERO,
            from_client: traffic.segments_sent.saturating_sub(1).min(traffic.segments_received),
            from_server: traffic.segments_received,
        },
    }
}

/// A RST and no FIN: only the age can show a close of the server's.
fn without_fin(incident: &Incident, traffic: &Traffic, context: Context<'_>) -> Cause {
    let jiffy = context.facts.jiffy;
    let rest = traffic.last_sent.since(traffic.last_received);
    let at_its_age = traffic.received > 0
        && rest >= IDLE
        && context.knowledge.agrees(incident.at.since(traffic.last_received));
    match () {
        () if at_its_age => race(incident),
        // Still writing when the answer came: no new request.
        () if traffic.received > 0 && is_still_writing(traffic, jiffy) => Cause::EarlyClose,
        // The server's kernel has it, or has part of it.
        () if traffic.acknowledged_behind_payload || traffic.unacknowledged == 0 => Cause::AwaitingResponse,
        () if rest >= IDLE => Cause::ResetOnReuse,
        () if traffic.received == 0 => Cause::AwaitingResponse,
        () => Cause::Unknown,
    }
}

/// The client side resets: it gave up on an exchange, or none was open, or the server had left it without an answer.
fn did_reset(incident: &Incident, traffic: &Traffic, context: Context<'_>) -> Cause {
    if let Some(segment) = incident.payload() {
        return met_closed_client(segment, traffic, incident.fin_by(Side::Local));
    }
    let unprompted = traffic.last_received.since(traffic.last_sent) >= IDLE;
    match traffic.last_payload {
        _ if may_be_last_word(traffic.unread)
            && (unprompted || Spoken::by_client(traffic).is_handshake()) =>
        {
            Cause::Unknown
        }
        _ if reset_behind_handshake(incident, traffic) => Cause::Unknown,
        LastPayload::Local if sent_past_answer(traffic, context.facts.jiffy) => Cause::EarlyClose,
        _ if traffic.unread > 0 => Cause::ClientAbort,
        LastPayload::Local
            if incident.state() == Some(TcpState::CloseWait) || incident.fin_by(Side::Remote).is_some() =>
        {
            behind_servers_fin(incident, traffic, context)
        }
        // Its alert, perhaps.
        LastPayload::Local if reset_behind_last_word(traffic, incident.at) => Cause::Unknown,
        LastPayload::Local => Cause::ClientAbort,
        LastPayload::Remote => Cause::AfterResponse,
        LastPayload::Unknown if read_the_answer(incident, traffic) => Cause::AfterResponse,
        LastPayload::None | LastPayload::Unknown => Cause::Unknown,
    }
}

/// Whether this client was still sending its only request when the answer came, and has read none of it.
fn sent_past_answer(traffic: &Traffic, jiffy: Jiffy) -> bool {
    traffic.unread > 0
        && u64::from(traffic.unread) == traffic.received
        && traffic.last_sent.since(traffic.last_received) > jiffy.length()
}

/// Whether what came within the tick of this client's only request must be its answer: up to the server's FIN, and all
/// of it was read.
fn read_the_answer(incident: &Incident, traffic: &Traffic) -> bool {
    traffic.segments_sent == 1
        && traffic.unacknowledged == 0
        && traffic.received > 0
        && traffic.unread == 0
        && incident.peer_fin_arrived()
}

/// A response goes on, or comes, for a client that has closed; unless it is the answer to the client's last word.
fn met_closed_client(segment: Segment, traffic: &Traffic, fin: Option<FirstFin>) -> Cause {
    if fin.is_some_and(|fin| only_shook_hands_before(fin, traffic, Role::Client)) {
        return Cause::Unknown;
    }
    let Some(fin) = fin.filter(|_| may_be_last_word(segment.len)) else { return Cause::ClientAbort };
    let closed_at_once = fin.at.since(fin.rest_since) < IDLE || fin.last_word != LastWord::None;
    if fin.last_payload == LastPayload::Local && !closed_at_once {
        Cause::ClientAbort
    } else {
        Cause::AfterResponse
    }
}

/// Whether more was to be sent of what began before the answer could have arrived.
fn is_still_writing(traffic: &Traffic, jiffy: Jiffy) -> bool {
    let round_trip = traffic.srtt.unwrap_or_default() + jiffy.length();
    traffic.unsent > 0 && traffic.last_sent.since(traffic.last_received) <= round_trip
}
