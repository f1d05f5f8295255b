//! One finding of what both ends of a connection show.

use super::{
    cause::{Cause, Crossing},
    client_end,
    handshake::{clients_handshake_alone, met_short_handshake, reset_behind_handshake},
    last_word::{holds_last_word, met_last_word},
    mechanism::{Ended, ended},
    request_read::{self, RequestRead},
    reuse::goes_on,
    rules::{Context, Finding, finding},
    spoken::Spoken,
};
use crate::{
    matching::{Ending, Incident},
    model::{LastPayload, Role, Side},
};

/// What was said of a connection's other end before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// What it meant; `None` where it was no incident.
    pub cause: Option<Cause>,
    /// Whether the request was read.
    pub request_read: RequestRead,
}

/// Judges an end together with the other one, as far as that is known: both get the same cause.
pub(super) fn judge(
    incident: &Incident,
    twin: Option<&Incident>,
    told: Option<Told>,
    context: Context<'_>,
) -> Option<(Cause, RequestRead)> {
    if let Some(told) = told {
        let Some(cause) = told.cause else {
            return alone(incident, context).filter(|_| incident.by_rst());
        };
        return Some((cause, better(told.request_read, read(incident, cause))));
    }
    let Some(twin) = twin else { return alone(incident, context) };
    let cause = of_two(incident, twin, context)?;
    let read = better(read(incident, cause), read(twin, cause));
    Some((
        cause,
        if read == RequestRead::Never && begun(incident, twin) { RequestRead::Partly } else { read },
    ))
}

fn alone(incident: &Incident, context: Context<'_>) -> Option<(Cause, RequestRead)> {
    match finding_of(incident, context) {
        Finding::Incident(cause) => Some((cause, read(incident, cause))),
        Finding::Nothing | Finding::Unclear => None,
    }
}

/// The end that ended the connection knows why; where it cannot tell, the other one may.
fn of_two(incident: &Incident, twin: &Incident, context: Context<'_>) -> Option<Cause> {
    let (first, second) = if decides(incident, twin, context) { (incident, twin) } else { (twin, incident) };
    let by_fin = !first.by_rst() && !second.by_rst();
    match (finding_of(first, context), finding_of(second, context)) {
        (Finding::Nothing, _) | (_, Finding::Nothing) if by_fin => None,
        // What the server takes for a half-close, its client knows to be none.
        (Finding::Unclear, Finding::Incident(Cause::AwaitingResponse)) if gave_up_at_once(first) => {
            Some(Cause::ClientAbort)
        }
        // It still waited, and what it had sent was no last word that the server would know.
        (Finding::Unclear, Finding::Unclear) if by_fin && waited_in_vain(first, second) => {
            Some(Cause::AwaitingResponse)
        }
        // What its client takes for a loss may be no more than that, as when a health check resets behind its alert.
        (Finding::Incident(Cause::Unknown), Finding::Incident(cause))
        | (Finding::Incident(cause), Finding::Incident(Cause::Unknown))
            if cause.is_failure() && [first, second].into_iter().any(may_have_asked_nothing) =>
        {
            Some(Cause::Unknown)
        }
        // Its own socket shows that nothing on the path forgot the connection.
        (Finding::Incident(Cause::Unknown), Finding::Incident(Cause::ResetOnReuse))
            if did_end(first, context) =>
        {
            Some(Cause::Unknown)
        }
        // What its client's numbers take for a handshake, its server knows to be a request.
        (Finding::Incident(Cause::Unknown), _) if hid_a_request(first, second) => Some(Cause::ClientAbort),
        // Its server had answered and closed, and nothing was under way.
        (Finding::Incident(Cause::Unknown), Finding::Incident(Cause::Unknown))
            if read_up_to_fin(first, second) =>
        {
            Some(Cause::AfterResponse)
        }
        (Finding::Incident(Cause::KeepaliveRace(Crossing::Unknown)), Finding::Incident(cause))
            if cause.crossing().is_some() =>
        {
            Some(cause)
        }
        // What the server takes for an answer, its client knows to be a last word.
        (Finding::Incident(Cause::EarlyClose | Cause::ResponseCut), _)
            if holds_last_word(first) || holds_last_word(second) =>
        {
            Some(Cause::Unknown)
        }
        (Finding::Incident(cause), _) if cause != Cause::Unknown => Some(cause),
        (_, Finding::Incident(cause)) | (Finding::Incident(cause), _) => Some(cause),
        _ => None,
    }
}

/// Whether this client closed, both ways, together with a request.
fn gave_up_at_once(end: &Incident) -> bool {
    end.role == Some(Role::Client)
        && end.fin_by(Side::Local).is_some_and(|fin| fin.request_open && !fin.half_closed)
}

/// Whether this server's client may have said a last word or shaken hands, and nothing more.
fn may_have_asked_nothing(server: &Incident) -> bool {
    met_last_word(server) || met_short_handshake(server)
}

/// Whether this client reset behind what might be a handshake but for what its server received.
fn hid_a_request(client: &Incident, server: &Incident) -> bool {
    let (Some(sent), Some(received)) = (client.socket(), server.socket()) else { return false };
    client.role == Some(Role::Client)
        && matches!(client.ending, Ending::AtClose(_) | Ending::InUse(_))
        && !client.peer_fin_arrived()
        && reset_behind_handshake(client, &sent.traffic)
        && received.traffic.received_since_ack.is_some()
        && !clients_handshake_alone(server, &received.traffic)
        && !met_last_word(server)
}

/// Whether this client had read all that its server said, up to the FIN, and the server spoke last.
fn read_up_to_fin(client: &Incident, server: &Incident) -> bool {
    let (Some(read), Some(said)) = (client.socket(), server.socket()) else { return false };
    client.role == Some(Role::Client)
        && client.peer_fin_arrived()
        && read.traffic.unread == 0
        && read.traffic.received == said.traffic.sent
        && said.traffic.last_payload == LastPayload::Local
}

/// Whether this client closed one way together with a request, and its server then closed as well. Behind what may be
/// TLS that request may be an alert, and right behind an answer the rest of what was answered.
fn waited_in_vain(client: &Incident, server: &Incident) -> bool {
    let Some(fin) = client.fin_by(Side::Local) else { return false };
    client.role == Some(Role::Client)
        && fin.request_open
        && fin.half_closed
        && !Spoken::until_at_client(fin).is_handshake()
        && !client.socket().is_some_and(|socket| goes_on(&socket.traffic, Role::Client))
        && server.fin_by(Side::Remote).is_some()
}

/// Whether the server read more than it had acknowledged to its client: then that is of the last request.
fn begun(incident: &Incident, twin: &Incident) -> bool {
    let (server, client) =
        if incident.role == Some(Role::Server) { (incident, twin) } else { (twin, incident) };
    let (Some(server), Some(client)) = (server.socket(), client.socket()) else { return false };
    let read_up_to =
        server.traffic.rcv_nxt.wrapping_sub(server.traffic.unread).wrapping_sub(server.peer_fin.into());
    let unread = server.traffic.unread;
    unread > 0 && (1..u32::MAX / 2).contains(&read_up_to.wrapping_sub(client.traffic.snd_una))
}

/// Whether `incident` is the end to go by: a client that closed before it had its answer, or else the end that ended
/// the connection; of two that did not, the client, whose request it was.
fn decides(incident: &Incident, twin: &Incident, context: Context<'_>) -> bool {
    let gave_up = |end: &Incident| match (end.role, end.fin_by(Side::Local), end.socket()) {
        (Some(Role::Client), Some(fin), Some(socket)) => {
            (fin.half_closed && fin.request_open && !Spoken::until_at_client(fin).is_handshake())
                || client_end::gave_up(fin, &socket.traffic, context)
                || (!end.by_rst() && gave_up_at_once(end))
        }
        _ => false,
    };
    match (gave_up(incident), gave_up(twin)) {
        (true, _) => true,
        (_, true) => false,
        _ if did_end(incident, context) != did_end(twin, context) => did_end(incident, context),
        _ => incident.role == Some(Role::Client),
    }
}

/// Whether this end ended the connection.
fn did_end(end: &Incident, context: Context<'_>) -> bool {
    matches!(ended(end, &context.facts.reasons), Ended::ResetSent(_) | Ended::FinSent)
}

fn finding_of(incident: &Incident, context: Context<'_>) -> Finding {
    finding(incident, ended(incident, &context.facts.reasons), context)
}

fn read(incident: &Incident, cause: Cause) -> RequestRead {
    match incident.role {
        Some(Role::Server) => request_read::at_server(incident, cause),
        _ => request_read::at_client(incident, cause),
    }
}

fn better(one: RequestRead, other: RequestRead) -> RequestRead {
    if one == RequestRead::Unknown { other } else { one }
}
