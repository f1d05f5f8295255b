//! What a RST meant, by the server's own socket.

use super::{
    cause::Cause,
    crossing::{Acknowledged, acknowledged},
    handshake::clients_handshake_alone,
    last_word::{
        answers_last_word, closed_on_last_word, ended_behind_last_word, is_prompt, peers_last_word,
        servers_fin_behind_last_word, servers_last_word_crossed, servers_last_word_met, unread_last_word,
    },
    reuse::{Before, Reuse, goes_on, more_than_answered, reuse},
    rules::{Context, closed_at_once, race},
    spoken::{LONGEST_LAST_WORD, Spoken},
};
use crate::{
    matching::{Ending, FirstFin, IDLE, Incident, LastWord, may_be_last_word},
    model::{LastPayload, Role, Segment, Side, SocketSnapshot, TcpState, Traffic},
};

/// The cause, by what the server's end shows.
pub(super) fn cause(incident: &Incident, socket: &SocketSnapshot, context: Context<'_>) -> Cause {
    let traffic = &socket.traffic;
    match &incident.ending {
        Ending::Received(_) => was_reset(incident, traffic, context),
        Ending::AtClose(_) | Ending::InUse(_) if socket.peer_fin => left_alone(incident, traffic),
        _ => match incident.payload() {
            Some(_) if incident.fin_by(Side::Remote).is_some() => Cause::Unknown,
            Some(segment) => had_closed(incident, traffic, &segment, context),
            None if traffic.unread > 0 => closed_unread(incident, socket, context),
            None => closed(incident, traffic, context),
        },
    }
}

/// The client reset the connection.
fn was_reset(incident: &Incident, traffic: &Traffic, context: Context<'_>) -> Cause {
    let servers_fin = incident.fin_by(Side::Local);
    match traffic.last_payload {
        _ if answers_last_word(incident, traffic) => Cause::Unknown,
        // A last word is no request.
        LastPayload::Remote if peers_last_word(incident) != LastWord::None => Cause::Unknown,
        LastPayload::Remote if ended_behind_last_word(traffic, incident.at) => Cause::Unknown,
        LastPayload::Remote if clients_handshake_alone(incident, traffic) => Cause::Unknown,
        // It was left without an answer before the client reset.
        LastPayload::Remote if servers_fin.is_some_and(|fin| fin.request_open) => Cause::AwaitingResponse,
        LastPayload::Remote if servers_fin.is_some() => crossed_half_close(incident, traffic, context),
        LastPayload::Remote => Cause::ClientAbort,
        // The server's last word on an idle connection met a client that was closing it, or made it close.
        LastPayload::Local if servers_fin.is_some_and(|fin| only_closed(fin, traffic)) => {
            Cause::AfterResponse
        }
        LastPayload::Local if crossed_idle_close(incident, traffic) => Cause::Unknown,
        LastPayload::Local if traffic.unacknowledged > 0 && clients_handshake_alone(incident, traffic) => {
            Cause::Unknown
        }
        LastPayload::Local if did_not_get_all(incident, traffic) => Cause::ClientAbort,
        // It may have arrived: the client's kernel may delay the acknowledgment.
        LastPayload::Local if traffic.unacknowledged > 0 => Cause::Unknown,
        LastPayload::Local => Cause::AfterResponse,
        LastPayload::None | LastPayload::Unknown => Cause::Unknown,
    }
}

/// Whether the server had more to say, or said it to a client that had closed.
fn did_not_get_all(incident: &Incident, traffic: &Traffic) -> bool {
    traffic.unsent > 0 || (traffic.unacknowledged > 0 && incident.peer_fin_arrived())
}

/// Whether the server said its last word and closed after a rest, and nothing came from the client since.
fn only_closed(fin: FirstFin, traffic: &Traffic) -> bool {
    fin.last_word == LastWord::Said && !fin.request_open && traffic.received == fin.received
}

/// Whether what the server said last is as short as a last word, and its client waited for nothing: it had closed
/// first, or it had rested behind TLS.
fn crossed_idle_close(incident: &Incident, traffic: &Traffic) -> bool {
    let size = traffic.unacknowledged;
    let unprompted = traffic.last_sent.since(traffic.last_received) >= IDLE
        && may_be_last_word(size)
        && Spoken::to_server(traffic, 0).is_handshake();
    let client_closed = incident.fin_by(Side::Remote).is_some_and(|fin| !fin.request_open);
    unprompted || (client_closed && (1..=LONGEST_LAST_WORD).contains(&size))
}

/// A request crossed the FIN of a server that went on reading.
fn crossed_half_close(incident: &Incident, traffic: &Traffic, context: Context<'_>) -> Cause {
    let Some(fin) = incident.fin_by(Side::Local) else { return Cause::Unknown };
    let size = traffic.received.saturating_sub(fin.received);
    match before(fin) {
        _ if u32::try_from(size)
            .is_ok_and(|size| Spoken::until_at_server(fin).may_answer_close(size, fin)) =>
        {
            Cause::Unknown
        }
        before if reuse(before, context.knowledge) == Reuse::Shown => race(incident),
        _ => Cause::Unknown,
    }
}

/// What had passed when the server sent its FIN.
pub(super) fn before(fin: FirstFin) -> Before {
    Before { rest: fin.rest(), from_client: fin.segments_received, from_server: fin.segments_sent }
}

/// Payload met a connection that the server had closed.
fn had_closed(incident: &Incident, traffic: &Traffic, segment: &Segment, context: Context<'_>) -> Cause {
    let Some(fin) = incident.fin_by(Side::Local) else { return without_fin(incident, traffic) };
    let answered = acknowledged(incident, segment, traffic) != Acknowledged::Part;
    let rested = fin.rest() >= IDLE;
    match fin.last_payload {
        // A connection that never carried anything, as pools keep them.
        LastPayload::None if rested => race(incident),
        // It closed without an answer: to the first request, or to the one before.
        LastPayload::Remote if servers_fin_behind_last_word(traffic, fin) => Cause::Unknown,
        LastPayload::None | LastPayload::Remote => unanswered(traffic, segment, fin),
        // An alert that answers the close, or a last word of the client's own.
        _ if answers_close(incident, traffic, segment, fin) => Cause::AfterResponse,
        _ if Spoken::until_at_server(fin).may_answer_close(segment.len, fin) => Cause::Unknown,
        // More had come since it closed one way: when, and as part of what, is not known.
        _ if traffic.received != fin.received => Cause::Unknown,
        // Sent before the whole response had arrived: still the same request.
        LastPayload::Local if !answered => Cause::EarlyClose,
        // A client that starts anew after a rest has had its answer.
        LastPayload::Unknown if !(answered && incident.at.since(fin.rest_since) >= IDLE) => Cause::Unknown,
        LastPayload::Local | LastPayload::Unknown => met_close(incident, before(fin), context),
    }
}

/// What payload meant that met a close, given what had passed before.
pub(super) fn met_close(incident: &Incident, before: Before, context: Context<'_>) -> Cause {
    match reuse(before, context.knowledge) {
        Reuse::Shown => race(incident),
        Reuse::Continues => Cause::EarlyClose,
        Reuse::NotShown => Cause::Unknown,
    }
}

/// Whether this is TLS' answer to a FIN: of an alert's size, by a client that had just got the FIN, on a connection
/// that has carried what a handshake takes.
fn answers_close(incident: &Incident, traffic: &Traffic, segment: &Segment, fin: FirstFin) -> bool {
    let before = Spoken::until_at_server(fin);
    may_be_last_word(segment.len)
        && acknowledged(incident, segment, traffic) == Acknowledged::Fin
        && is_prompt(incident.at.since(fin.at), traffic)
        && before.is_handshake()
        && !before.is_of(segment.len)
}

/// A request was open when the server closed, and had been read.
fn unanswered(traffic: &Traffic, segment: &Segment, fin: FirstFin) -> Cause {
    // It had answered, and read on. TLS' answer to the close is no part of what it read.
    let waited = fin.at.since(traffic.last_received);
    let answers_close = Spoken::until_at_server(fin).may_answer_close(segment.len, fin);
    if waited < IDLE && goes_on(traffic, Role::Server) && !answers_close {
        Cause::EarlyClose
    } else {
        Cause::AwaitingResponse
    }
}

/// Its FIN was not seen: an orphan that closed before the tracer watched, say.
fn without_fin(incident: &Incident, traffic: &Traffic) -> Cause {
    match traffic.last_payload {
        LastPayload::None | LastPayload::Remote => Cause::AwaitingResponse,
        LastPayload::Local if incident.at.since(traffic.last_activity()) >= IDLE => race(incident),
        LastPayload::Local | LastPayload::Unknown => Cause::Unknown,
    }
}

/// The server resets a connection that its client had closed before: the client gave up, or it closed one way together
/// with its request and still waits.
fn left_alone(incident: &Incident, traffic: &Traffic) -> Cause {
    if traffic.unread > 0 && traffic.last_payload == LastPayload::Local {
        return Cause::EarlyClose;
    }
    // The client's last word.
    if traffic.sent > 0 && may_be_last_word(traffic.unread) {
        return Cause::AfterResponse;
    }
    // A longer one, or the rest of one: or a short request. Or the server's own crossed a request.
    if unread_last_word(traffic)
        || clients_handshake_alone(incident, traffic)
        || servers_last_word_met(traffic, traffic.last_received)
        || ended_behind_last_word(traffic, incident.at)
    {
        return Cause::Unknown;
    }
    let gave_up = incident.fin_by(Side::Remote).map(|fin| fin.at.since(traffic.last_received) >= IDLE);
    match (traffic.last_payload, gave_up) {
        (LastPayload::Remote, Some(true)) => Cause::ClientAbort,
        (LastPayload::Remote, Some(false)) => Cause::AwaitingResponse,
        (LastPayload::Local, _) => Cause::AfterResponse,
        _ => Cause::Unknown,
    }
}

/// The server closed without reading all it had received: the next request, or the rest of one that it had begun with.
fn closed_unread(incident: &Incident, socket: &SocketSnapshot, context: Context<'_>) -> Cause {
    let traffic = &socket.traffic;
    let nothing_read = traffic.received == u64::from(traffic.unread);
    match traffic.last_payload {
        _ if nothing_read && traffic.sent == 0 => first_unread(incident, traffic, context),
        _ if traffic.sent == 0 => Cause::AwaitingResponse,
        _ if closed_on_last_word(traffic) => Cause::Unknown,
        _ if crossed_fin(incident, traffic, context) => race(incident),
        _ if servers_last_word_crossed(traffic, incident.at) => Cause::Unknown,
        LastPayload::Local if servers_last_word_met(traffic, incident.at) => Cause::Unknown,
        _ if closed_behind_answer(incident, traffic) => Cause::EarlyClose,
        _ if never_begun(traffic) => new_request_unread(incident, traffic, context),
        // Read in part, with nothing said to it.
        LastPayload::Remote if read_in_part(traffic) => Cause::AwaitingResponse,
        // Perhaps read in part; or a request behind a handshake of TLS, which takes segments that nobody answers.
        LastPayload::Remote if traffic.unread_sent_after_full_ack => {
            let rested = traffic.last_received.since(traffic.last_sent) >= IDLE;
            let is_behind_tls = Spoken::to_server(traffic, traffic.unread).is_behind_tls(traffic.unread);
            if rested && is_behind_tls { Cause::Unknown } else { Cause::AwaitingResponse }
        }
        LastPayload::Remote | LastPayload::Local => Cause::EarlyClose,
        LastPayload::None | LastPayload::Unknown => Cause::Unknown,
    }
}

/// Whether all of the unread payload came behind the server's FIN, and was a new request.
fn crossed_fin(incident: &Incident, traffic: &Traffic, context: Context<'_>) -> bool {
    incident.fin_by(Side::Local).is_some_and(|fin| {
        fin.rest() >= IDLE
            && !fin.request_open
            && traffic.received == fin.received + u64::from(traffic.unread)
            && reuse(before(fin), context.knowledge) == Reuse::Shown
    })
}

/// Whether the server answered and closed one way within a moment, before the client had sent all of that request:
/// whether it read some more of it does not matter.
fn closed_behind_answer(incident: &Incident, traffic: &Traffic) -> bool {
    incident.fin_by(Side::Local).is_some()
        && goes_on(traffic, Role::Server)
        && incident.at.since(traffic.last_sent) < IDLE
}

/// The first request of a connection lay unread: of one that a pool had kept, or of one whose server never came to it.
fn first_unread(incident: &Incident, traffic: &Traffic, context: Context<'_>) -> Cause {
    let rested = traffic.last_received.since(traffic.last_sent) >= IDLE;
    match closed_at_once(incident, traffic.last_received, context) {
        _ if incident.state() == Some(TcpState::SynRecv) => Cause::NeverRead,
        true if rested => race(incident),
        true => Cause::AwaitingResponse,
        false => Cause::NeverRead,
    }
}

/// Whether the unread payload is a request of which nothing was read, as far as shows: it was sent by a client that
/// knew all of the response, and nothing was read since that was sent. Where the kernel did not measure reads, or
/// somebody only looked (`MSG_PEEK`), the number of segments must allow for an answer to all but the last.
pub(super) fn never_begun(traffic: &Traffic) -> bool {
    traffic.sent > 0
        && traffic.unread_sent_after_full_ack
        && !traffic.read_behind_ack
        && (traffic.read_since_sent == Some(false) || !more_than_answered(traffic, Role::Server))
}

/// Whether some of what the client sent after it knew all of the response was read.
pub(super) fn read_in_part(traffic: &Traffic) -> bool {
    traffic.unread > 0
        && traffic.unacknowledged == 0
        && (traffic.received_since_ack.is_some_and(|received| received > traffic.unread)
            || traffic.read_behind_ack)
}

fn new_request_unread(incident: &Incident, traffic: &Traffic, context: Context<'_>) -> Cause {
    let rest = traffic.last_received.since(traffic.last_sent);
    let at_its_age = context.knowledge.agrees(incident.at.since(traffic.last_sent));
    let in_time = at_its_age || closed_at_once(incident, traffic.last_received, context);
    let before = Before {
        rest,
        from_client: traffic.segments_received.saturating_sub(1),
        from_server: traffic.segments_sent,
    };
    let is_new = at_its_age || (traffic.unread_is_fresh && rest >= IDLE);
    match (reuse(before, context.knowledge), in_time) {
        (reuse, true) if is_new || reuse == Reuse::Shown => race(incident),
        (reuse, false) if is_new || reuse == Reuse::Shown => Cause::NeverRead,
        (Reuse::Continues, true) => Cause::EarlyClose,
        (_, true) => Cause::Unknown,
        (_, false) => Cause::AwaitingResponse,
    }
}

/// The server resets with everything read.
fn closed(incident: &Incident, traffic: &Traffic, context: Context<'_>) -> Cause {
    match traffic.last_payload {
        LastPayload::Remote if incident.fin_by(Side::Local).is_some_and(|fin| !fin.request_open) => {
            crossed_half_close(incident, traffic, context)
        }
        LastPayload::Remote if ended_behind_last_word(traffic, incident.at) => Cause::Unknown,
        LastPayload::Remote => Cause::AwaitingResponse,
        // Its end may never have been written.
        LastPayload::Local if traffic.unacknowledged > 0 || incident.at.since(traffic.last_sent) < IDLE => {
            Cause::ResponseCut
        }
        LastPayload::Local => Cause::AfterResponse,
        LastPayload::None | LastPayload::Unknown => Cause::Unknown,
    }
}
