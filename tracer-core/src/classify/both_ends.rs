//! One finding of what both ends of a connection show.

use super::{
    cause::{Cause, Crossing},
    client_end,
    mechanism::{Ended, ended},
    request_read::{self, RequestRead},
    rules::{Context, Finding, finding},
};
use crate::{
    matching::Incident,
    model::{Role, Side},
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
    Some((cause, better(read(incident, cause), read(twin, cause))))
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
        (Finding::Incident(Cause::Unknown), Finding::Incident(cause)) => Some(cause),
        (
            Finding::Incident(Cause::KeepaliveRace(Crossing::Unknown)),
            Finding::Incident(cause @ Cause::KeepaliveRace(_)),
        )
        | (Finding::Incident(cause), _)
        | (_, Finding::Incident(cause)) => Some(cause),
        _ => None,
    }
}

/// Whether `incident` is the end to go by: a client that closed before it had its answer, or else the end that ended
/// the connection; of two that did not, the client, whose request it was.
fn decides(incident: &Incident, twin: &Incident, context: Context<'_>) -> bool {
    let gave_up = |end: &Incident| match (end.role, end.fin_by(Side::Local), end.socket()) {
        (Some(Role::Client), Some(fin), Some(socket)) => {
            fin.half_closed && fin.request_open || client_end::gave_up(fin, &socket.traffic, context)
        }
        _ => false,
    };
    let did_end =
        |end: &Incident| matches!(ended(end, &context.facts.reasons), Ended::ResetSent(_) | Ended::FinSent);
    match (gave_up(incident), gave_up(twin)) {
        (true, _) => true,
        (_, true) => false,
        _ if did_end(incident) != did_end(twin) => did_end(incident),
        _ => incident.role == Some(Role::Client),
    }
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
