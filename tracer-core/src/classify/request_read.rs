//! Whether the server's application took the last request: what decides whether it may be sent again.

use super::{
    cause::Cause,
    server_end::{never_begun, read_in_part},
};
use crate::{
    matching::Incident,
    model::{LastPayload, Side, Traffic},
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
        return RequestRead::Unknown;
    };
    let traffic = &socket.traffic;
    let nothing_read = traffic.received > 0 && traffic.received == u64::from(traffic.unread);
    let met_closed = incident.payload().is_some();
    match cause {
        Cause::NoRequest | Cause::Unknown | Cause::StaleConnection => RequestRead::Unknown,
        Cause::KeepaliveRace(_) if met_closed => RequestRead::Never,
        Cause::Killed if socket.detached && !socket.orphan => RequestRead::Never,
        Cause::BacklogOverflow => RequestRead::Never,
        // The first payload of the connection met its close.
        Cause::AwaitingResponse if met_closed && traffic.received == 0 => RequestRead::Never,
        Cause::EarlyClose if met_closed => RequestRead::Partly,
        _ if traffic.unread == 0 && traffic.last_payload == LastPayload::Remote => {
            read_all(incident, traffic)
        }
        _ if nothing_read => RequestRead::Never,
        _ if traffic.unread > 0 && never_begun(traffic) => unread(incident),
        _ if traffic.unread > 0 && traffic.unacknowledged == 0 && read_in_part(traffic) => {
            RequestRead::Partly
        }
        Cause::EarlyClose if traffic.unread > 0 => RequestRead::Partly,
        Cause::ResponseCut | Cause::AfterResponse => RequestRead::Yes,
        Cause::ClientAbort if traffic.last_payload == LastPayload::Local => RequestRead::Yes,
        _ => RequestRead::Unknown,
    }
}

/// Behind its own FIN a server may read a request only to throw it away.
fn read_all(incident: &Incident, traffic: &Traffic) -> RequestRead {
    match incident.fin_by(Side::Local) {
        Some(fin) if traffic.received > fin.received => RequestRead::Unknown,
        _ => RequestRead::Yes,
    }
}

/// What lies unread behind a FIN alone may still be read.
fn unread(incident: &Incident) -> RequestRead {
    if incident.by_rst() { RequestRead::Never } else { RequestRead::Unknown }
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
