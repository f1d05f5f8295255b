//! Which crossing a keep-alive race was: how far the server's close had come when the request met it.

use super::cause::Crossing;
use crate::{
    matching::{Ending, FirstFin, Incident},
    model::{Role, Segment, Side, TcpState, Traffic},
};

/// Which crossing this race was.
pub(super) fn crossing(incident: &Incident) -> Crossing {
    let Some(traffic) = incident.socket().map(|socket| &socket.traffic) else {
        return Crossing::Unknown;
    };
    match &incident.ending {
        Ending::Passive { segment, .. } => match acknowledged(incident, segment, traffic) {
            Acknowledged::Fin => Crossing::FinUnprocessed,
            Acknowledged::All => Crossing::FinInFlight,
            Acknowledged::Part => Crossing::Unknown,
        },
        // Closed with the request unread, after a FIN that it did or did not acknowledge.
        Ending::AtClose(socket) | Ending::InUse(socket) if incident.fin.is_some() => match socket.state {
            TcpState::FinWait2 if traffic.unread_sent_after_full_ack => Crossing::FinUnprocessed,
            _ => Crossing::Unknown,
        },
        Ending::AtClose(_) | Ending::InUse(_) => Crossing::FinNotSent,
        Ending::Received(_) if incident.peer_fin_arrived() => match incident.fin {
            Some(FirstFin { crossed: true, .. }) => Crossing::FinInFlight,
            Some(_) => Crossing::FinUnprocessed,
            // A FIN that payload was crossing would have been reported: see `probes/state_change.rs` of the kernel
            // side.
            None if traffic.last_sent > traffic.last_ack => Crossing::FinUnprocessed,
            None => Crossing::Unknown,
        },
        // Acknowledged without a FIN: the server's kernel had queued it on an open connection.
        Ending::Received(_) if traffic.unacknowledged == 0 => Crossing::FinNotSent,
        // A server that reads on behind its FIN does not see what the request had acknowledged.
        Ending::Fin { .. } if incident.role == Some(Role::Server) => match incident.fin {
            Some(fin) if fin.by == Side::Local && !fin.request_open => Crossing::Unknown,
            _ => Crossing::FinNotSent,
        },
        Ending::Fin { .. } => match incident.fin_by(Side::Remote) {
            Some(fin) if fin.crossed => Crossing::FinInFlight,
            Some(fin) if traffic.sent > fin.sent => Crossing::FinUnprocessed,
            Some(_) => Crossing::FinNotSent,
            None => Crossing::Unknown,
        },
        Ending::Received(_) | Ending::Silent { .. } => Crossing::Unknown,
    }
}

/// How much of what we sent the provoking segment acknowledges.
#[derive(PartialEq, Eq)]
pub(super) enum Acknowledged {
    /// Not the whole response.
    Part,
    /// The whole response, not the FIN.
    All,
    /// The FIN too.
    Fin,
}

/// How much of what we sent `segment` acknowledges.
pub(super) fn acknowledged(incident: &Incident, segment: &Segment, traffic: &Traffic) -> Acknowledged {
    // A last word stands between the response and the FIN, and need not have arrived.
    let response_end = incident.fin_by(Side::Local).map_or(traffic.payload_end, |fin| fin.response_end);
    let beyond = segment.ack.wrapping_sub(response_end);
    match segment.ack.wrapping_sub(traffic.payload_end) {
        1 => Acknowledged::Fin,
        _ if beyond <= traffic.payload_end.wrapping_sub(response_end) => Acknowledged::All,
        _ => Acknowledged::Part,
    }
}
