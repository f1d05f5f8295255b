//! The first FIN of a connection, and what was going on when it was sent.

use std::time::Duration;

use crate::{
    event::{LastPayload, Role, Side, Socket},
    time::KernelNs,
};

/// Payload that pauses for less is no idle connection.
pub const IDLE: Duration = Duration::from_millis(50);

/// Payload of at most so many bytes may be a farewell or the answer to one, and no request: a TLS
/// `close_notify` takes 23 to 85 bytes, an HTTP/2 `GOAWAY` 17 and more.
pub const FAREWELL: u32 = 90;

/// A farewell leaves together with the FIN: within two ticks of the slowest kernel.
const TOGETHER: Duration = Duration::from_millis(20);

/// The first FIN of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fin {
    /// When it was sent or received here.
    pub at: KernelNs,
    /// Who sent it.
    pub by: Side,
    /// Payload of ours was on its way when the peer's FIN arrived.
    pub crossed: bool,
    /// Its sender sent a few bytes along with it, unasked: a farewell such as a TLS `close_notify`.
    pub farewell: bool,
    /// Whose payload came last before; a farewell hides it.
    pub last_payload: LastPayload,
    /// When payload last passed before. A farewell overwrites its sender's time: then the other side's.
    pub rest_since: KernelNs,
    /// Payload received until then.
    pub received: u64,
    /// Where our payload ended, a farewell not counted.
    pub response_end: u32,
}

impl Fin {
    /// Notes what `socket` tells at the moment of the FIN.
    #[must_use]
    pub fn new(at: KernelNs, by: Side, socket: &Socket) -> Self {
        let traffic = &socket.traffic;
        let crossed = by == Side::Remote && traffic.unacknowledged > 0;
        let farewell = farewell(at, by, socket, crossed);
        Self {
            at,
            by,
            crossed,
            farewell,
            last_payload: if farewell { LastPayload::Unknown } else { traffic.last_payload },
            rest_since: match by {
                _ if !farewell => traffic.last_activity(),
                Side::Local => traffic.last_received,
                Side::Remote => traffic.last_sent,
            },
            received: traffic.received,
            response_end: match by {
                Side::Local if farewell => traffic.snd_una,
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

    /// Whether a request was under way: the client sent last, or something is unread or unacknowledged.
    /// Where one jiffy or a farewell hides the order, nothing open shows.
    fn request_may_be_open(&self, socket: &Socket) -> bool {
        if self.farewell {
            return self.crossed;
        }
        let client_sent_last = match socket.role {
            Role::Client => self.last_payload == LastPayload::Local,
            Role::Server => self.last_payload == LastPayload::Remote,
            Role::Unknown => false,
        };
        client_sent_last || socket.traffic.unacknowledged > 0 || socket.traffic.unread > 0
    }
}

/// A few bytes that came with the FIN, either after a rest or against payload that was crossing.
fn farewell(at: KernelNs, by: Side, socket: &Socket, crossed: bool) -> bool {
    let traffic = &socket.traffic;
    let (bytes, sent, before) = match by {
        Side::Local => (traffic.unacknowledged, traffic.last_sent, traffic.last_received),
        Side::Remote => (traffic.unread, traffic.last_received, traffic.last_sent),
    };
    let small = (1..=FAREWELL).contains(&bytes);
    small && at.since(sent) <= TOGETHER && (crossed || sent.since(before) >= IDLE)
}
