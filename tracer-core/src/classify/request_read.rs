//! Whether the server's application took the last request: what decides whether it may be sent again.

use super::{
    cause::Cause,
    reuse::more_than_answered,
    server_end::{never_begun, read_in_part},
};
use crate::{
    matching::{IDLE, Incident},
    model::{LastPayload, Role, Side, Traffic},
};

/// Whether the server's application read the last request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RequestRead {
    /// No byte of it, proven by the kernel's own numbers: it may be sent again, whatever its method.
    Never,
    /// Its beginning.
    Partly,
    /// All that had arrived.
    Yes,
    /// It cannot be told.
    Unknown,
}

impl RequestRead {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Never, Self::Partly, Self::Yes, Self::Unknown];

    /// The name used in labels and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Partly => "partly",
            Self::Yes => "yes",
            Self::Unknown => "unknown",
        }
    }
}

/// What the server's end of an incident proves.
pub(super) fn at_server(incident: &Incident, cause: Cause) -> RequestRead {
    let Some(socket) = incident.socket() else {
        return match cause {
            Cause::BacklogOverflow => RequestRead::Never,
            _ => RequestRead::Unknown,
        };
    };
    let traffic = &socket.traffic;
    let nothing_read = traffic.received > 0 && traffic.received == u64::from(traffic.unread);
    match cause {
        // What the request met was not this end.
        Cause::ResetOnReuse | Cause::NoRequest | Cause::Unknown | Cause::StaleConnection => {
            RequestRead::Unknown
        }
        // It was answered, so it was begun with.
        Cause::EarlyClose => RequestRead::Partly,
        Cause::ResponseCut | Cause::AfterResponse => RequestRead::Yes,
        Cause::BacklogOverflow => RequestRead::Never,
        Cause::Killed if socket.detached && !socket.orphan => RequestRead::Never,
        _ if incident.payload().is_some() => met_closed(incident, traffic, cause),
        _ if traffic.unread == 0 && traffic.last_payload == LastPayload::Remote => {
            read_all(incident, traffic)
        }
        _ if traffic.unread == 0 && traffic.last_payload == LastPayload::Local => RequestRead::Yes,
        // What lies unread behind a FIN alone may still be read.
        _ if nothing_read || unread_is_new(traffic) => {
            if incident.by_rst() {
                RequestRead::Never
            } else {
                RequestRead::Unknown
            }
        }
        _ if read_in_part(traffic) || (traffic.unread > 0 && took_some(traffic)) => RequestRead::Partly,
        _ => RequestRead::Unknown,
    }
}

/// Payload that met an orphan, a time-wait socket or none was not read; what came before it may have been.
fn met_closed(incident: &Incident, traffic: &Traffic, cause: Cause) -> RequestRead {
    let begins_anew =
        incident.fin_by(Side::Local).is_some_and(|fin| fin.rest() >= IDLE + traffic.srtt.unwrap_or_default());
    match cause {
        Cause::KeepaliveRace(_) if begins_anew => RequestRead::Never,
        Cause::AwaitingResponse if traffic.received == 0 => RequestRead::Never,
        Cause::AwaitingResponse => RequestRead::Partly,
        _ => RequestRead::Unknown,
    }
}

/// Whether the application read since it last sent, and more came than an answer to each explains.
fn took_some(traffic: &Traffic) -> bool {
    traffic.read_since_sent == Some(true) && more_than_answered(traffic, Role::Server)
}

/// Whether nothing of the unread request can have been read.
fn unread_is_new(traffic: &Traffic) -> bool {
    traffic.unread > 0 && never_begun(traffic) && rested(traffic) && traffic.read_since_sent != Some(true)
}

/// Whether the last payload came after a rest, longer than a client needs to send the body for a `100 Continue`.
fn rested(traffic: &Traffic) -> bool {
    traffic.last_received.since(traffic.last_sent) >= IDLE + traffic.srtt.unwrap_or_default()
}

/// Behind its own FIN a server may read a request only to throw it away.
fn read_all(incident: &Incident, traffic: &Traffic) -> RequestRead {
    match incident.fin_by(Side::Local) {
        Some(fin) if traffic.received > fin.received => RequestRead::Unknown,
        _ => RequestRead::Yes,
    }
}

/// What the client's end proves by itself: little but that no connection came to be, or that an answer came.
pub(super) fn at_client(incident: &Incident, cause: Cause) -> RequestRead {
    let sent_nothing = incident.socket().is_some_and(|socket| socket.traffic.sent == 0);
    match cause {
        Cause::Refused | Cause::Unreachable | Cause::BacklogOverflow if sent_nothing => RequestRead::Never,
        Cause::ResponseCut | Cause::AfterResponse => RequestRead::Yes,
        _ => RequestRead::Unknown,
    }
}
