//! The first FIN of a connection, and what was going on when it was sent.

use std::time::Duration;

use crate::{
    model::event::{LastPayload, Role, Side, Socket},
    model::time::KernelNs,
};

/// Payload that pauses for less is no idle connection.
pub const IDLE: Duration = Duration::from_millis(50);

/// The sizes that a farewell, or the answer to one, has on the wire; a request of just such a size is possible
/// but rare, and then called unknown.
///
/// A TLS `close_notify`: 23 and 24 (`ChaCha20`, TLS 1.3), 31 (AES-GCM), 53, 69, 85 (AES-CBC with each hash). An
/// HTTP/2 `GOAWAY`: 17, in TLS 39 and 46; with the `close_notify` behind it 63 and 77.
const FAREWELLS: [u32; 11] = [17, 23, 24, 31, 39, 46, 53, 63, 69, 77, 85];

/// Whether payload of this size may be a farewell or the answer to one, and no request.
#[must_use]
pub fn may_be_farewell(bytes: u32) -> bool {
    FAREWELLS.contains(&bytes)
}

/// A farewell leaves together with the FIN: within two ticks of the slowest kernel.
const TOGETHER: Duration = Duration::from_millis(20);

/// The first FIN of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fin {
    /// When it was sent or received here.
    pub at: KernelNs,
    /// Who sent it.
    pub by: Side,
    /// Payload of ours was on its way, or still to leave, when the peer's FIN arrived.
    pub crossed: bool,
    /// Whether its sender said something along with it, unasked, such as a TLS `close_notify`.
    pub farewell: Farewell,
    /// Whose payload came last before; a farewell hides it.
    pub last_payload: LastPayload,
    /// When payload last passed before. A farewell overwrites its sender's time: then the other side's.
    pub rest_since: KernelNs,
    /// Payload received until then.
    pub received: u64,
    /// Where our payload ended, a farewell not counted.
    pub response_end: u32,
}

/// Whether payload that left together with a FIN was a farewell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// There was none.
    None,
    /// There was payload after a rest, but its size was not to be seen any more.
    Possible,
    /// A few bytes, after a rest or against payload that was crossing.
    Said,
}

impl Fin {
    /// Notes what `socket` tells at the moment of the FIN.
    #[must_use]
    pub fn new(at: KernelNs, by: Side, socket: &Socket) -> Self {
        let traffic = &socket.traffic;
        let crossed = by == Side::Remote && (traffic.unacknowledged > 0 || traffic.unsent > 0);
        let farewell = farewell(at, by, socket, crossed);
        let said = farewell == Farewell::Said;
        Self {
            at,
            by,
            crossed,
            farewell,
            last_payload: if said { LastPayload::Unknown } else { traffic.last_payload },
            rest_since: match by {
                _ if !said => traffic.last_activity(),
                Side::Local => traffic.last_received,
                Side::Remote => traffic.last_sent,
            },
            received: traffic.received,
            response_end: match by {
                Side::Local if said => traffic.snd_una,
                _ => traffic.payload_end,
            },
        }
    }

    /// How long the connection had rested, where no request was open.
    #[must_use]
    pub fn idle(&self, socket: &Socket) -> Option<Duration> {
        let idle = self.at.since(self.rest_since);
        (idle >= IDLE && !self.request_may_be_open(socket)).then_some(idle)
    }

    /// Whether a request was under way: the client sent last, or something is unread or unacknowledged. Where one jiffy hides
    /// the order, more segments from the client than from the server show it; behind a farewell nothing does.
    fn request_may_be_open(&self, socket: &Socket) -> bool {
        if self.farewell == Farewell::Said {
            return self.crossed;
        }
        let (client, by_client, by_server) = match socket.role {
            Role::Client => {
                (LastPayload::Local, socket.traffic.segments_sent, socket.traffic.segments_received)
            }
            Role::Server => {
                (LastPayload::Remote, socket.traffic.segments_received, socket.traffic.segments_sent)
            }
            Role::Unknown => (LastPayload::None, 0, 0),
        };
        let client_sent_last = match self.last_payload {
            LastPayload::Unknown => by_client > by_server,
            last => last == client && last != LastPayload::None,
        };
        client_sent_last || socket.traffic.unacknowledged > 0 || socket.traffic.unread > 0
    }
}

/// What left together with the FIN: a few bytes, either after a rest or against payload that was crossing.
fn farewell(at: KernelNs, by: Side, socket: &Socket, crossed: bool) -> Farewell {
    let traffic = &socket.traffic;
    let (bytes, sent, before) = match by {
        Side::Local => (traffic.unacknowledged, traffic.last_sent, traffic.last_received),
        Side::Remote => (traffic.unread, traffic.last_received, traffic.last_sent),
    };
    let rested = sent.since(before) >= IDLE;
    if at.since(sent) > TOGETHER || !(rested || crossed) {
        return Farewell::None;
    }
    match bytes {
        // Acknowledged or read already: how much it was, nobody knows.
        0 if rested => Farewell::Possible,
        bytes if may_be_farewell(bytes) => Farewell::Said,
        _ => Farewell::None,
    }
}
