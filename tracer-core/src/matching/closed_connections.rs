//! The connections that a reset may still have to be matched with: those that sent or received a FIN, closed
//! abruptly or were reset a short while ago. Bounded in time and number.

use std::{
    collections::VecDeque,
    hash::BuildHasher as _,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use hashbrown::{DefaultHashBuilder, HashTable};

use super::first_fin::FirstFin;
use crate::model::{Flow, KernelNs, LastPayload, Segment, SocketSnapshot, TcpState};

/// How long a connection is kept: the kernel's time-wait (`TCP_TIMEWAIT_LEN`, `include/net/tcp.h`) and a margin.
pub(super) const RETENTION: Duration = Duration::from_secs(65);

/// How far a segment's acknowledgment may lie from what is known for it to belong to the same connection,
/// where only another segment is known.
const NEARBY: u32 = 1 << 24;

/// Upper bound on the connections that room is reserved for at once.
const RESERVED: usize = 1 << 20;

/// What is remembered of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct ClosedConnection {
    known_by: KnownBy,
    /// Its first FIN.
    pub fin: Option<FirstFin>,
    /// The number of the incident that it came to.
    pub incident: Option<u64>,
    /// A RST was part of that.
    pub reset: bool,
    touched: KernelNs,
}

/// How a connection is told from others at the same addresses.
#[derive(Clone, Debug, Default)]
enum KnownBy {
    #[default]
    Nothing,
    /// A segment of it.
    Segment(Segment),
    /// Its socket when it was last seen.
    Socket(SocketSnapshot),
}

impl ClosedConnection {
    /// Takes a newer view of the socket, keeping what only the older one could tell; this is then all there is
    /// to know.
    pub(super) fn update(&mut self, mut socket: SocketSnapshot) -> SocketSnapshot {
        if let KnownBy::Socket(old) = &self.known_by {
            inherit(&mut socket, old);
        }
        self.known_by = KnownBy::Socket(socket.clone());
        socket
    }

    /// Takes a segment of it, where nothing better is known.
    pub(super) fn note(&mut self, segment: Segment) {
        if !matches!(self.known_by, KnownBy::Socket(_)) {
            self.known_by = KnownBy::Segment(segment);
        }
    }

    /// Its socket when it was last seen.
    #[must_use]
    pub(super) fn socket(&self) -> Option<&SocketSnapshot> {
        match &self.known_by {
            KnownBy::Socket(socket) => Some(socket),
            _ => None,
        }
    }

    /// The same, to be changed.
    pub(super) fn socket_mut(&mut self) -> Option<&mut SocketSnapshot> {
        match &mut self.known_by {
            KnownBy::Socket(socket) => Some(socket),
            _ => None,
        }
    }

    /// Whether `socket` is this connection's, not a later one's on the same ports.
    #[must_use]
    pub(super) fn is(&self, socket: &SocketSnapshot) -> bool {
        match &self.known_by {
            KnownBy::Socket(own) => own.traffic.same_connection(&socket.traffic),
            KnownBy::Segment(segment) => near(segment.ack, socket.traffic.snd_una),
            KnownBy::Nothing => false,
        }
    }

    /// Whether `segment` was sent on this connection: it acknowledges something that this end sent.
    #[must_use]
    pub(super) fn owns(&self, segment: &Segment) -> bool {
        match &self.known_by {
            KnownBy::Socket(socket) => {
                let traffic = &socket.traffic;
                // All that was written, and a FIN behind it. A retransmission may acknowledge less than
                // was acknowledged already.
                let end = traffic.payload_end.wrapping_add(1);
                end.wrapping_sub(segment.ack) <= end.wrapping_sub(traffic.snd_una).saturating_add(NEARBY)
            }
            KnownBy::Segment(known) => near(known.ack, segment.ack) && near(known.seq, segment.seq),
            KnownBy::Nothing => false,
        }
    }
}

fn near(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).min(b.wrapping_sub(a)) < NEARBY
}

/// A FIN or the step to CLOSE can hide the state, who sent last and who opened; what the older view told of
/// it still holds, the order of payload as long as none passed since.
fn inherit(socket: &mut SocketSnapshot, old: &SocketSnapshot) {
    let quiet = socket.traffic.sent == old.traffic.sent && socket.traffic.received == old.traffic.received;
    if quiet && socket.traffic.last_payload == LastPayload::Unknown {
        socket.traffic.last_payload = old.traffic.last_payload;
    }
    if quiet && old.traffic.exact && !socket.traffic.retransmitting {
        // Nothing passed since: the same times, which a FIN or the step to CLOSE may have hidden.
        socket.traffic.exact = true;
        socket.traffic.last_sent = old.traffic.last_sent;
        socket.traffic.last_received = old.traffic.last_received;
    }
    // In CLOSE a FIN can pass for a response.
    socket.traffic.requests = match (socket.traffic.requests, old.traffic.requests) {
        (new, old) if quiet => old.or(new),
        (new, old) => new.or(old),
    };
    socket.role = socket.role.or(old.role);
    if socket.state == TcpState::Close {
        socket.state = old.state;
        socket.traffic.payload_end = old.traffic.payload_end;
        socket.traffic.first_snd_seq = old.traffic.first_snd_seq;
        socket.orphan |= old.orphan;
        if quiet {
            // Our FIN in flight passes for payload in CLOSE.
            socket.traffic.unacknowledged = old.traffic.unacknowledged;
            socket.traffic.unread_sent_after_full_ack = old.traffic.unread_sent_after_full_ack;
        }
    }
}

/// A flow in as few bytes as it takes. IPv4 addresses stand as IPv4-mapped ones, which no flow has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    netns: u32,
    ports: [u16; 2],
    addresses: [Ipv6Addr; 2],
}

impl From<&Flow> for Key {
    fn from(flow: &Flow) -> Self {
        let address = |end: SocketAddr| match end.ip() {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        Self {
            netns: flow.netns,
            ports: [flow.local.port(), flow.remote.port()],
            addresses: [address(flow.local), address(flow.remote)],
        }
    }
}

/// The table.
///
/// Connections leave it from the front of one queue only, so a connection's number never changes while it stays
/// in its place, and the index needs nothing but numbers: little memory is what lets many be remembered.
#[derive(Debug)]
pub(super) struct ClosedConnections {
    /// In the order of `queued`.
    queue: VecDeque<Entry>,
    /// The number of the first in the queue; the others follow. Numbers wrap.
    first: u32,
    /// Every connection's number, found by its key.
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    limit: usize,
    last_eviction: Option<KernelNs>,
}

#[derive(Debug)]
struct Entry {
    key: Key,
    /// When it was put here: it is at least as old as that, or was touched since.
    queued: KernelNs,
    connection: ClosedConnection,
}

impl ClosedConnections {
    /// A table of at most `limit` connections.
    #[must_use]
    pub(super) fn new(limit: usize) -> Self {
        Self {
            // Memory that nothing was written to costs nothing, and to grow would leave holes in it.
            queue: VecDeque::with_capacity(limit.min(RESERVED)),
            first: 0,
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            limit: limit.min(u32::MAX as usize),
            last_eviction: None,
        }
    }

    /// How many connections are kept.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// The connection known at these addresses, if `is_same` says that it is the same one; kept for [`RETENTION`] from
    /// now.
    pub(super) fn find(
        &mut self,
        flow: &Flow,
        now: KernelNs,
        is_same: impl Fn(&ClosedConnection) -> bool,
    ) -> Option<&mut ClosedConnection> {
        let key = Key::from(flow);
        let position = self.position(self.hasher.hash_one(key), &key)?;
        let connection = Some(&mut self.queue[position].connection).filter(|known| is_same(known))?;
        connection.touched = now;
        Some(connection)
    }

    /// Like [`Self::find`], with a new connection in place of another one or none.
    pub(super) fn touch(
        &mut self,
        flow: Flow,
        now: KernelNs,
        is_same: impl Fn(&ClosedConnection) -> bool,
    ) -> &mut ClosedConnection {
        let key = Key::from(&flow);
        let hash = self.hasher.hash_one(key);
        let position = self.position(hash, &key).unwrap_or_else(|| {
            self.make_room(now);
            self.push(hash, Entry { key, queued: now, connection: ClosedConnection::default() });
            self.queue.len() - 1
        });
        let connection = &mut self.queue[position].connection;
        if !is_same(connection) {
            *connection = ClosedConnection::default();
        }
        connection.touched = now;
        connection
    }

    /// Forgets what is older than [`RETENTION`].
    pub(super) fn expire(&mut self, now: KernelNs) {
        let is_old = |since| now.since(since) >= RETENTION;
        while self.queue.front().is_some_and(|oldest| is_old(oldest.queued)) {
            let Some((hash, mut entry)) = self.pop() else { return };
            // Touched again since: looked at again when that has aged.
            if !is_old(entry.connection.touched) {
                entry.queued = entry.connection.touched;
                self.push(hash, entry);
            }
        }
    }

    /// Whether a connection was dropped for want of room that would still be kept otherwise.
    #[must_use]
    pub(super) fn evicted_lately(&self, now: KernelNs) -> bool {
        self.last_eviction.is_some_and(|at| now.since(at) < RETENTION)
    }

    fn make_room(&mut self, now: KernelNs) {
        while self.queue.len() >= self.limit && self.pop().is_some() {
            self.last_eviction = Some(now);
        }
    }

    /// Where in the queue the connection is.
    fn position(&self, hash: u64, key: &Key) -> Option<usize> {
        let position = |number: u32| number.wrapping_sub(self.first) as usize;
        self.index
            .find(hash, |&number| self.queue[position(number)].key == *key)
            .map(|&number| position(number))
    }

    fn push(&mut self, hash: u64, entry: Entry) {
        let Self { queue, first, index, hasher, .. } = self;
        let number = first.wrapping_add(u32::try_from(queue.len()).unwrap_or(u32::MAX));
        queue.push_back(entry);
        index.insert_unique(hash, number, |number| {
            hasher.hash_one(queue[number.wrapping_sub(*first) as usize].key)
        });
    }

    /// Takes the first out of the queue.
    fn pop(&mut self) -> Option<(u64, Entry)> {
        let entry = self.queue.pop_front()?;
        let hash = self.hasher.hash_one(entry.key);
        let number = self.first;
        if let Ok(indexed) = self.index.find_entry(hash, |&other| other == number) {
            indexed.remove();
        }
        self.first = number.wrapping_add(1);
        Some((hash, entry))
    }
}
