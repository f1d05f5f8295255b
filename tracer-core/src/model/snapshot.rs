//! What a socket tells of its connection at one moment.

use std::time::Duration;

use super::{ConnectionId, KernelNs, Role, TcpState};

/// A connection's socket at one moment.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each a flag of the kernel's socket")]
pub(crate) struct SocketSnapshot {
    /// The state before the event; CLOSE where only an earlier event knows it.
    pub state: TcpState,
    /// What this host is, where the socket alone can tell.
    pub role: Option<Role>,
    /// No process holds it any more.
    pub orphan: bool,
    /// The peer's FIN was received.
    pub peer_fin: bool,
    /// `SO_LINGER` with timeout 0.
    pub linger_zero: bool,
    /// It belongs to no file: it was never accepted, or is an orphan.
    pub detached: bool,
    /// The application has closed for writing only: it still waits for what the peer says.
    pub half_closed: bool,
    /// Unanswered keepalive or zero-window probes.
    pub probes_out: u8,
    /// What it remembers of its traffic.
    pub traffic: Traffic,
}

/// What a socket remembers of its traffic. Times are exact to one jiffy.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each shown by the kernel's numbers")]
pub(crate) struct Traffic {
    /// Payload bytes sent, without retransmissions.
    pub sent: u64,
    /// Payload bytes received in order.
    pub received: u64,
    /// Segments that carried payload sent; unlike in `sent`, retransmissions count.
    pub segments_sent: u32,
    /// Segments that carried payload received, in order or not; unlike in `received`, one that is answered with a RST
    /// counts.
    pub segments_received: u32,
    /// Requests that were answered; known only where all of the connection was seen and requests are counted.
    pub requests: Option<u32>,
    /// When payload was last sent; while none was, when the connection was established.
    pub last_sent: KernelNs,
    /// Whether one of the two times `last_sent` and `last_received` is known better than to the tick.
    pub exact: bool,
    /// When payload was last received; while none was, when the connection was established.
    pub last_received: KernelNs,
    /// When the application last read, about; or when the connection was established, where the kernel did not measure
    /// reads. It may have read since.
    pub last_read: KernelNs,
    /// When a segment with an ACK was last processed.
    pub last_ack: KernelNs,
    /// Whose payload came last.
    pub last_payload: LastPayload,
    /// Payload bytes of ours that the peer has not acknowledged.
    pub unacknowledged: u32,
    /// Bytes the application wrote that were not sent yet (a FIN counts as one).
    pub unsent: u32,
    /// Received payload that the application did not read.
    pub unread: u32,
    /// The peer had acknowledged all we sent when it sent the unread payload.
    pub unread_sent_after_full_ack: bool,
    /// Nothing was sent since the unread payload began to arrive, not even an acknowledgment: so it came at once.
    pub unread_is_fresh: bool,
    /// Whether the application read payload since it last sent some, where that shows.
    pub read_since_sent: Option<bool>,
    /// It read some that had come since we last sent anything, even an acknowledgment.
    pub read_behind_ack: bool,
    /// Payload received from the segment on that last acknowledged something new. A FIN in a segment of its own hides
    /// it.
    pub received_since_ack: Option<u32>,
    /// The peer acknowledged something of ours behind all the payload that it had sent. Only while it has sent no FIN.
    pub acknowledged_behind_payload: bool,
    /// Unacknowledged payload was sent more than once: `last_sent` is not when it first left.
    pub retransmitting: bool,
    /// Sequence number of the first payload byte received: with the addresses it tells one connection from
    /// the next on the same ports.
    pub first_rcv_seq: u32,
    /// Sequence number of the first payload byte sent.
    pub first_snd_seq: u32,
    /// Oldest unacknowledged sequence number.
    pub snd_una: u32,
    /// End of the payload that the application wrote: where our FIN stands, or would.
    pub payload_end: u32,
    /// Next sequence number expected.
    pub rcv_nxt: u32,
    /// Smoothed round-trip time, where it was measured.
    pub srtt: Option<Duration>,
}

/// Whose payload came last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastPayload {
    /// There was none at all.
    None,
    /// Ours.
    Local,
    /// The peer's.
    Remote,
    /// Both within one jiffy, and nothing else tells.
    Unknown,
}

impl SocketSnapshot {
    /// The connection's name at both of its ends; `None` while the peer has
    /// not answered, or it is not known which end this is.
    #[must_use]
    pub(crate) fn id(&self) -> Option<ConnectionId> {
        if self.state == TcpState::SynSent {
            return None;
        }
        let (ours, theirs) =
            (self.traffic.first_snd_seq.wrapping_sub(1), self.traffic.first_rcv_seq.wrapping_sub(1));
        Some(match self.role? {
            Role::Client => ConnectionId::new(ours, theirs),
            Role::Server => ConnectionId::new(theirs, ours),
        })
    }
}

impl Traffic {
    /// When payload last passed in either direction; while none did, when the connection was established.
    #[must_use]
    pub(crate) fn last_activity(&self) -> KernelNs {
        self.last_sent.max(self.last_received)
    }

    /// Whether any payload passed.
    #[must_use]
    pub(crate) fn any(&self) -> bool {
        self.sent > 0 || self.received > 0
    }

    /// Segments with payload of the client and of the server, seen from the end with this role.
    #[must_use]
    pub(crate) fn segments(&self, role: Role) -> (u32, u32) {
        match role {
            Role::Client => (self.segments_sent, self.segments_received),
            Role::Server => (self.segments_received, self.segments_sent),
        }
    }

    /// How many exchanges the connection had carried, where that is certain: as counted, or as many single segments
    /// each way.
    #[must_use]
    pub(crate) fn exchanges(&self) -> Option<u32> {
        let proven = (self.segments_sent == self.segments_received).then_some(self.segments_sent);
        self.requests.or(proven)
    }

    /// Whether `other` is the same connection's, given that the addresses are the same.
    #[must_use]
    pub(crate) fn same_connection(&self, other: &Self) -> bool {
        self.first_rcv_seq == other.first_rcv_seq
    }
}
