//! The connections that a reset may still have to be matched with: those that sent or received a FIN, closed
//! abruptly or were reset a short while ago. Bounded in time and number.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use crate::{
    event::{Flow, LastPayload, Role, Segment, Socket, TcpState},
    fin::Fin,
    time::KernelNs,
};

/// How long a connection is kept: the kernel's time-wait (`TCP_TIMEWAIT_LEN`, `include/net/tcp.h`) and a margin.
pub const RETENTION: Duration = Duration::from_secs(65);

/// How far a segment's acknowledgment may lie from what is known for it to belong to the same connection,
/// where only another segment is known.
const NEARBY: u32 = 1 << 24;

/// What is remembered of one connection.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// Its socket when it was last seen.
    pub socket: Option<Socket>,
    /// Its first FIN.
    pub fin: Option<Fin>,
    /// The incident that ended it.
    pub incident: Option<u64>,
    /// A segment of it, for one that was known by nothing else.
    pub segment: Option<Segment>,
    touched: KernelNs,
}

impl Connection {
    /// Takes a newer view of the socket, keeping what only the older one could tell; this is then all there is
    /// to know.
    pub fn update(&mut self, mut socket: Socket) -> &Socket {
        if let Some(old) = &self.socket {
            inherit(&mut socket, old);
        }
        self.socket.insert(socket)
    }

    /// Whether `socket` is this connection's, not a later one's on the same ports.
    #[must_use]
    pub fn is(&self, socket: &Socket) -> bool {
        match (&self.socket, self.segment) {
            (Some(own), _) => own.traffic.same_connection(&socket.traffic),
            (None, Some(segment)) => near(segment.ack, socket.traffic.snd_una),
            (None, None) => false,
        }
    }

    /// Whether `segment` was sent on this connection: it acknowledges something that this end sent.
    #[must_use]
    pub fn owns(&self, segment: &Segment) -> bool {
        match (&self.socket, self.segment) {
            (Some(socket), _) => {
                let traffic = &socket.traffic;
                // All that was written, and a FIN behind it. A retransmission may acknowledge less than
                // was acknowledged already.
                let end = traffic.payload_end.wrapping_add(1);
                end.wrapping_sub(segment.ack) <= end.wrapping_sub(traffic.snd_una).saturating_add(NEARBY)
            }
            (None, Some(known)) => near(known.ack, segment.ack) && near(known.seq, segment.seq),
            (None, None) => false,
        }
    }
}

fn near(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).min(b.wrapping_sub(a)) < NEARBY
}

/// A FIN or the step to CLOSE can hide the state, who sent last and who opened; what the older view told of
/// it still holds, the order of payload as long as none passed since.
fn inherit(socket: &mut Socket, old: &Socket) {
    let quiet = socket.traffic.sent == old.traffic.sent && socket.traffic.received == old.traffic.received;
    if quiet && socket.traffic.last_payload == LastPayload::Unknown {
        socket.traffic.last_payload = old.traffic.last_payload;
    }
    if socket.role == Role::Unknown {
        socket.role = old.role;
    }
    if socket.state == TcpState::Close {
        socket.state = old.state;
        socket.traffic.payload_end = old.traffic.payload_end;
        socket.orphan |= old.orphan;
    }
}

/// The table.
#[derive(Debug)]
pub struct Connections {
    by_flow: HashMap<Flow, Connection>,
    /// Every flow of the table once, with the time from which its age counts at the least.
    order: VecDeque<(KernelNs, Flow)>,
    limit: usize,
    last_eviction: Option<KernelNs>,
}

impl Connections {
    /// A table of at most `limit` connections.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { by_flow: HashMap::new(), order: VecDeque::new(), limit, last_eviction: None }
    }

    /// How many connections are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_flow.len()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_flow.is_empty()
    }

    /// The connection known at these addresses, if it is `wanted`; kept for [`RETENTION`] from now.
    pub fn find(
        &mut self,
        flow: &Flow,
        now: KernelNs,
        wanted: impl Fn(&Connection) -> bool,
    ) -> Option<&mut Connection> {
        let connection = self.by_flow.get_mut(flow).filter(|known| wanted(known))?;
        connection.touched = now;
        Some(connection)
    }

    /// Like [`Self::find`], with a new connection in place of one that is not `wanted` or not there.
    pub fn touch(
        &mut self,
        flow: Flow,
        now: KernelNs,
        wanted: impl Fn(&Connection) -> bool,
    ) -> &mut Connection {
        if !self.by_flow.contains_key(&flow) {
            self.make_room(now);
            self.order.push_back((now, flow));
        }
        let connection = self.by_flow.entry(flow).or_default();
        if !wanted(connection) {
            *connection = Connection::default();
        }
        connection.touched = now;
        connection
    }

    /// Forgets what is older than [`RETENTION`].
    pub fn expire(&mut self, now: KernelNs) {
        while let Some(&(since, flow)) = self.order.front() {
            if now.since(since) < RETENTION {
                break;
            }
            self.order.pop_front();
            match self.by_flow.get(&flow) {
                // Touched again since: looked at again when that has aged.
                Some(connection) if now.since(connection.touched) < RETENTION => {
                    self.order.push_back((connection.touched, flow));
                }
                _ => drop(self.by_flow.remove(&flow)),
            }
        }
    }

    /// Whether a connection was dropped for want of room that would still be kept otherwise.
    #[must_use]
    pub fn evicted_lately(&self, now: KernelNs) -> bool {
        self.last_eviction.is_some_and(|at| now.since(at) < RETENTION)
    }

    fn make_room(&mut self, now: KernelNs) {
        while self.by_flow.len() >= self.limit {
            let Some((_, flow)) = self.order.pop_front() else { return };
            self.by_flow.remove(&flow);
            self.last_eviction = Some(now);
        }
    }
}
