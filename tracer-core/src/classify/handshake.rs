//! A TLS handshake and nothing behind it: so balancers see whether a server speaks TLS. A request may look like one.

use std::time::Duration;

use super::spoken::{Spoken, ends_handshake};
use crate::{
    matching::{FirstFin, Incident},
    model::{KernelNs, LastPayload, Role, Side, Traffic},
};

/// Whether this client may have reset behind no more than a TLS handshake, with at most the server's tickets unread.
pub(super) fn reset_behind_handshake(incident: &Incident, traffic: &Traffic) -> bool {
    const TICKETS: u32 = 1_200;
    let is_open = traffic.unread > 0 || traffic.last_payload == LastPayload::Local;
    let read_some = u64::from(traffic.unread) < traffic.received;
    is_open && read_some && traffic.unread <= TICKETS && only_shook_hands(traffic, Role::Client, incident.at)
}

/// Whether the client may have said no more than a TLS handshake takes before the connection ended at `end`, as the
/// end with `role` saw it. So balancers see whether a server speaks TLS: nobody knows of a request.
fn only_shook_hands(traffic: &Traffic, role: Role, end: KernelNs) -> bool {
    let (spoken, last, size) = match role {
        Role::Client => (Spoken::by_client(traffic), traffic.last_sent, known(traffic.unacknowledged)),
        Role::Server => (Spoken::by_server(traffic), traffic.last_received, received_last(traffic)),
    };
    spoken.is_handshake_alone(size, rest(traffic, role), end.since(last))
}

/// Likewise where it ended by a `fin`.
pub(super) fn only_shook_hands_before(fin: FirstFin, traffic: &Traffic, role: Role) -> bool {
    let (spoken, size) = match role {
        Role::Client => (Spoken::until_at_client(fin), known(fin.unacknowledged)),
        Role::Server => (Spoken::until_at_server(fin), fin.received_since_ack.or(known(fin.unread))),
    };
    spoken.is_handshake_alone(size, rest(traffic, role), fin.at.since(fin.rest_since))
}

/// How long nothing had passed, as far as that shows, before the client's last payload: a handshake goes on at once.
fn rest(traffic: &Traffic, role: Role) -> Duration {
    let (last, before) = match role {
        Role::Client => (traffic.last_sent, traffic.last_received),
        Role::Server => (traffic.last_received, traffic.last_sent),
    };
    last.since(before).max(last.since(traffic.last_read))
}

/// Whether a server's client said no more than a handshake, and closed it by its FIN or by its RST.
pub(super) fn clients_handshake_alone(incident: &Incident, traffic: &Traffic) -> bool {
    match incident.fin_by(Side::Remote) {
        Some(fin) => only_shook_hands_before(fin, traffic, Role::Server),
        None => only_shook_hands(traffic, Role::Server, incident.at),
    }
}

/// Likewise, and what came last is as short as the end of a handshake.
pub(super) fn met_short_handshake(server: &Incident) -> bool {
    server.role == Some(Role::Server)
        && server.socket().is_some_and(|socket| {
            received_last(&socket.traffic).is_some_and(ends_handshake)
                && clients_handshake_alone(server, &socket.traffic)
        })
}

/// How much the server received last, where that shows.
fn received_last(traffic: &Traffic) -> Option<u32> {
    traffic.received_since_ack.or(known(traffic.unread))
}

/// Of what was acknowledged, or read, how much it was is not known.
fn known(left: u32) -> Option<u32> {
    (left > 0).then_some(left)
}
