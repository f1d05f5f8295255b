//! Which crossing a keep-alive race was: how far the server's close had come when the request met it.

use super::cause::Crossing;
use crate::{
    matching::{FirstFin, Incident, Reset},
    model::{Segment, Side, TcpState, Traffic},
};

/// Which crossing this race was.
pub(super) fn crossing(incident: &Incident) -> Crossing {
    let Some(traffic) = incident.socket().map(|socket| &socket.traffic) else {
        return Crossing::Unknown;
    };
    match &incident.reset {
        Reset::Passive { segment, .. } => match acknowledged(incident, segment, traffic) {
            Acknowledged::Fin => Crossing::FinUnprocessed,
            Acknowledged::All => Crossing::FinInFlight,
            Acknowledged::Part => Crossing::Unknown,
        },
        // Closed with the request unread, after a FIN that it did or did not acknowledge.
        Reset::AtClose(socket) | Reset::InUse(socket) if incident.fin.is_some() => match socket.state {
            TcpState::FinWait2 if traffic.unread_sent_after_full_ack => Crossing::FinUnprocessed,
            _ => Crossing::Unknown,
        },
        Reset::AtClose(_) | Reset::InUse(_) => Crossing::FinNotSent,
        Reset::Received(_) if incident.peer_fin_arrived() => match incident.fin {
            Some(FirstFin { crossed: true, .. }) => Crossing::FinInFlight,
            Some(_) => Crossing::FinUnprocessed,
            // A FIN that payload was crossing would have been reported: see `probes/state_change.rs` of the kernel
            // side.
            None if traffic.last_sent > traffic.last_ack => Crossing::FinUnprocessed,
            None => Crossing::Unknown,
        },
        // Acknowledged without a FIN: the server's kernel had queued it on an open connection.
        Reset::Received(_) if traffic.unacknowledged == 0 => Crossing::FinNotSent,
        Reset::Received(_) => Crossing::Unknown,
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
