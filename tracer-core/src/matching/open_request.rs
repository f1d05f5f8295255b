//! Which ends of a connection leave a request without an answer, as far as one socket shows.

use super::first_fin::{FirstFin, IDLE, client_sent_last};
use crate::model::{Role, Side, SocketSnapshot};

/// Whether the first FIN leaves a request without an answer, as far as that shows at once. A half-close may still be
/// answered. What was not acknowledged when the peer's FIN came may still meet a RST, or an ACK.
pub(super) fn leaves_unanswered(by: Side, socket: &SocketSnapshot) -> bool {
    let traffic = &socket.traffic;
    client_sent_last(socket)
        && match (by, socket.role) {
            // What it wrote may leave together with the FIN.
            (Side::Local, Some(Role::Server)) => traffic.unsent == 0,
            (Side::Local, Some(Role::Client)) => !socket.half_closed,
            (Side::Remote, Some(Role::Client)) => traffic.unacknowledged == 0 && traffic.unsent == 0,
            _ => false,
        }
}

/// Whose FIN left a request without an answer, where one was open at the end.
pub(super) fn ended_by(fin: Option<FirstFin>, socket: &SocketSnapshot) -> Option<Side> {
    if !client_sent_last(socket) {
        return None;
    }
    match (socket.role?, fin) {
        // It went on reading after its FIN: a request that crossed this.
        (Role::Server, Some(fin)) if fin.by == Side::Local => {
            (socket.traffic.received > fin.received).then_some(Side::Local)
        }
        // Its application waited for an answer after its FIN.
        (Role::Client, Some(fin)) if fin.by == Side::Local => {
            fin.half_closed.then_some(if socket.peer_fin { Side::Remote } else { Side::Local })
        }
        (Role::Client, _) => Some(Side::Remote),
        // A client that closes together with its request waits for an answer; one that closes later gave up.
        (Role::Server, Some(fin)) if fin.at.since(socket.traffic.last_received) >= IDLE => Some(Side::Remote),
        (Role::Server, _) => Some(Side::Local),
    }
}
