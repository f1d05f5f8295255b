//! The judgment on one end of a connection.

use std::time::Duration;

use super::{
    both_ends::{Told, judge},
    cause::Cause,
    last_request::{LastRequest, fin_to_request, last_request, since_response},
    mechanism::{Ended, Errno, ended, errno},
    request_read::RequestRead,
    rules::Context,
};
use crate::matching::Incident;

/// The judgment on one end of a connection.
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
    /// From the last request to the end.
    pub request_to_reset: Option<Duration>,
    /// From the FIN to the last request in seconds; negative when the request came first.
    pub(crate) fin_to_request: Option<f64>,
    /// From the last response payload to the end.
    pub(crate) since_response: Option<Duration>,
}

/// Judges an end, with what is known of the other one; `None` where it was no incident.
pub(crate) fn classify(
    incident: &Incident,
    twin: Option<&Incident>,
    told: Option<Told>,
    context: Context<'_>,
) -> Option<Verdict> {
    let ended = ended(incident, &context.facts.reasons);
    let (cause, request_read) = judge(incident, twin, told, context)?;
    if !incident.by_rst() && (!cause.is_failure() || cause == Cause::Unknown) {
        return None;
    }
    let ended = ended.with(cause, incident.role);
    let request = last_request(incident, cause, context.facts.jiffy);
    Some(Verdict {
        cause,
        ended,
        request_read,
        errno: errno(incident, ended),
        idle: request.and_then(|request| request.idle),
        request_to_reset: request.map(|request| incident.at.since(request.at)),
        fin_to_request: request.and_then(|request: LastRequest| fin_to_request(incident, request, cause)),
        since_response: since_response(incident),
    })
}
