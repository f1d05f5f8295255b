//! Joins each RST with the connection it ended, and finds the connections that ended with a request open: one incident
//! per connection, however many segments it took.
//!
//! An incident is held for a moment before it is passed on, so that the segments and events that belong to it, and what
//! the connection's other end shows, are there when it is judged.

use std::time::Duration;

use super::{
    close::Close,
    closed_connections::{ClosedConnection, ClosedConnections},
    first_fin::FirstFin,
    held::Held,
    incident::{Ending, Found, Incident, Known, Unmatched},
    open_request::{ended_by, leaves_unanswered},
};
use crate::model::{
    Event, EventKind, Flow, KernelNs, LastPayload, RequestLine, Role, Segment, SendReset, Side, Silence,
    SocketKind, SocketSnapshot, TcpState,
};

/// How long after a connection vanished segments of it may still be under way. A tracer that watched for less cannot
/// tell a connection that just closed from one that never was.
const VANISHED_GRACE: Duration = Duration::from_secs(1);

/// What comes of events.
#[expect(
    clippy::large_enum_variant,
    reason = "few are alive at once, and most are incidents or moved on at once"
)]
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Matched {
    /// The end of a connection, ready to be judged.
    Incident {
        /// Its number, counted from 0.
        id: u64,
        /// What is known of it.
        incident: Incident,
        /// What is known at the connection's other end, if that is on this host and was not passed on before.
        twin: Option<Box<Incident>>,
    },
    /// Another RST segment for a reset that was passed on already.
    FurtherSegment {
        /// Its incident.
        id: u64,
    },
    /// A connection was closed: its first FIN.
    Close(Close),
}

/// The state of the matching.
#[derive(Debug)]
pub(crate) struct Matcher {
    connections: ClosedConnections,
    /// Connections known by nothing but a segment that was reset. Apart, so that stray segments cannot drive out
    /// connections that were seen.
    unknown_connections: ClosedConnections,
    held: Held,
    watched_since: KernelNs,
    matched: Vec<Matched>,
}

impl Matcher {
    /// A matcher that watches from `watched_since` on and remembers at most `max_closed` connections.
    pub(crate) fn new(watched_since: KernelNs, max_closed: usize) -> Self {
        Self {
            connections: ClosedConnections::new(max_closed),
            unknown_connections: ClosedConnections::new(max_closed.div_ceil(16)),
            held: Held::default(),
            watched_since,
            matched: Vec::new(),
        }
    }

    /// Takes one event. Time passes with the events, so that their grouping makes no difference.
    pub(crate) fn handle(&mut self, event: Event) {
        let Event { at, flow, request_line, kind } = event;
        self.advance(at);
        let seen = Seen { at, flow, request_line };
        match kind {
            EventKind::Fin { by, socket } => self.fin(seen, by, socket),
            EventKind::Close { socket, error: Some(silence) } => self.silent(seen, socket, silence),
            EventKind::Close { socket, error: None } => self.close(seen, socket),
            EventKind::ReceiveReset { socket } => self.received(Rst { seen, reason: None }, socket),
            EventKind::SendReset { reset, reason } => {
                let rst = Rst { seen, reason };
                match reset {
                    SendReset::Active(socket) => self.active(rst, socket),
                    SendReset::Passive { segment, found } => self.passive(rst, segment, found),
                }
            }
        }
    }

    /// Lets time pass: passes on what has waited long enough, forgets what is old.
    pub(crate) fn advance(&mut self, now: KernelNs) {
        while let Some((id, incident)) = self.held.pop_ready(now) {
            self.pass_on(id, incident);
        }
        self.connections.expire(now);
        self.unknown_connections.expire(now);
    }

    /// Passes on everything that is held, at the end.
    pub(crate) fn flush(&mut self) {
        while let Some((id, incident)) = self.held.pop() {
            self.pass_on(id, incident);
        }
    }

    fn pass_on(&mut self, id: u64, incident: Incident) {
        let twin = self.held.twin(&incident).map(|twin| Box::new(twin.clone()));
        self.matched.push(Matched::Incident { id, incident, twin });
    }

    /// When [`Self::advance`] next has a reset to pass on.
    pub(crate) fn next_due(&self) -> Option<KernelNs> {
        self.held.next_due()
    }

    /// Takes out what came of the events so far, in order.
    pub(crate) fn matched(&mut self) -> impl Iterator<Item = Matched> {
        self.matched.drain(..)
    }

    /// How many connections are remembered.
    pub(crate) fn remembered(&self) -> usize {
        self.connections.len() + self.unknown_connections.len()
    }

    fn fin(&mut self, seen: Seen, by: Side, mut socket: SocketSnapshot) {
        let connection = self.connections.touch(seen.flow, seen.at, |known| known.is(&socket));
        if connection.fin.is_none() {
            let fin = FirstFin::new(seen.at, by, &socket);
            connection.fin = Some(fin);
            if connection.incident.is_none() {
                self.matched.push(Matched::Close(Close::by_fin(seen.flow, &fin, &socket)));
            }
        }
        let unanswered = leaves_unanswered(by, &socket);
        socket.state = match by {
            Side::Local => TcpState::FinWait1,
            Side::Remote => TcpState::CloseWait,
        };
        let socket = connection.update(socket);
        if unanswered {
            without_rst(&mut self.held, connection, seen, Ending::Fin { by, socket });
        }
    }

    /// The end of a connection, in order or before a RST that belongs to it.
    fn close(&mut self, seen: Seen, socket: SocketSnapshot) {
        let connection = self.connections.touch(seen.flow, seen.at, |known| known.is(&socket));
        let in_order = !matches!(socket.state, TcpState::Established | TcpState::CloseWait);
        let socket = connection.update(socket);
        if let Some(by) = ended_by(connection.fin, &socket).filter(|_| in_order) {
            without_rst(&mut self.held, connection, seen, Ending::Fin { by, socket });
        }
    }

    /// Neither side ended it.
    fn silent(&mut self, seen: Seen, socket: SocketSnapshot, silence: Silence) {
        if socket.state == TcpState::SynSent {
            self.held.push(seen.incident(socket.role, Ending::Silent { socket, silence }, None));
            return;
        }
        let connection = self.connections.touch(seen.flow, seen.at, |known| known.is(&socket));
        let socket = connection.update(socket);
        without_rst(&mut self.held, connection, seen, Ending::Silent { socket, silence });
    }

    /// A RST ended a socket, or the kernel aborts an orphan: then the passive reset that follows takes this incident
    /// over, see [`Incident::is_explained_by`].
    fn received(&mut self, rst: Rst, socket: SocketSnapshot) {
        if socket.state == TcpState::SynSent {
            // No connection came to be: nothing that later segments could belong to.
            self.held.push(rst.incident(socket.role, Ending::Received(socket), None));
            return;
        }
        self.by_connection(rst, socket, Ending::Received);
    }

    fn active(&mut self, rst: Rst, socket: SocketSnapshot) {
        let at_close = socket.state == TcpState::Close;
        self.by_connection(rst, socket, if at_close { Ending::AtClose } else { Ending::InUse });
    }

    fn passive(&mut self, rst: Rst, segment: Segment, found: SocketKind) {
        match found {
            SocketKind::Connection(socket) => self.by_connection(rst, socket, |socket| {
                let closed = socket.state.fin_sent();
                let segment = if closed { segment.from(socket.traffic.rcv_nxt) } else { segment };
                Ending::Passive { segment, found: Found::Connection(socket) }
            }),
            SocketKind::TimeWait { rcv_nxt } => {
                self.update_from_time_wait(&rst, segment, rcv_nxt);
                self.without_socket(rst, segment.from(rcv_nxt), Found::TimeWait);
            }
            SocketKind::Listener => self.without_socket(rst, segment, Found::Listener),
            SocketKind::NoSocket => self.without_socket(rst, segment, Found::NoSocket),
        }
    }

    /// A reset by the connection's own socket.
    fn by_connection(
        &mut self,
        rst: Rst,
        socket: SocketSnapshot,
        ending: impl FnOnce(SocketSnapshot) -> Ending,
    ) {
        // A segment may have met no socket any more a moment before this record: `tcp_set_state` (net/ipv4/tcp.c) takes
        // the socket out of reach before it tells of the step to CLOSE.
        let stray = self.unknown_connections.find(&rst.seen.flow, rst.seen.at, |known| known.is(&socket));
        let stray = stray.and_then(|stray| stray.incident.take());
        let connection = self.connections.touch(rst.seen.flow, rst.seen.at, |known| known.is(&socket));
        connection.incident = connection.incident.or(stray);
        let fin = connection.fin;
        let socket = connection.update(socket);
        let incident = rst.incident(socket.role, ending(socket), fin);
        join(&mut self.held, &mut self.matched, connection, incident);
    }

    /// Payload that was received after our FIN shows only in the mini-socket's sequence number.
    fn update_from_time_wait(&mut self, rst: &Rst, segment: Segment, rcv_nxt: u32) {
        if let Some(connection) =
            self.connections.find(&rst.seen.flow, rst.seen.at, |known| known.owns(&segment))
            && let Some(socket) = connection.socket_mut()
        {
            let traffic = &mut socket.traffic;
            let received = rcv_nxt.wrapping_sub(traffic.rcv_nxt);
            if received != 0 {
                traffic.received = traffic.received.saturating_add(u64::from(received));
                traffic.rcv_nxt = rcv_nxt;
                traffic.last_payload = LastPayload::Unknown;
            }
            socket.state = TcpState::TimeWait;
        }
    }

    /// A reset for a connection whose socket is gone: one that closed lately, or one that nothing is known of.
    fn without_socket(&mut self, rst: Rst, segment: Segment, found: fn(Known) -> Found) {
        let passive = |known| Ending::Passive { segment, found: found(known) };
        if segment.opening {
            // A SYN belongs to no connection, and there will be none.
            let reset = passive(Known::Nothing(Unmatched::NoSocket));
            self.held.push(rst.incident(Some(Role::Server), reset, None));
            return;
        }
        let unmatched = self.why_unmatched(rst.seen.at);
        let owns = |known: &ClosedConnection| known.owns(&segment);
        let connection = match self.connections.find(&rst.seen.flow, rst.seen.at, owns) {
            Some(known) => known,
            None => self.unknown_connections.touch(rst.seen.flow, rst.seen.at, owns),
        };
        connection.note(segment);
        let known = match connection.socket() {
            Some(socket) => Known::Closed(socket.clone()),
            None => Known::Nothing(unmatched),
        };
        let role = connection.socket().and_then(|socket| socket.role);
        let found = found(known);
        let role = role.or(match found {
            // It answers a connect that was given up.
            _ if segment.accepting => Some(Role::Client),
            Found::Listener(_) => Some(Role::Server),
            _ => None,
        });
        let incident = rst.incident(role, Ending::Passive { segment, found }, connection.fin);
        join(&mut self.held, &mut self.matched, connection, incident);
    }

    fn why_unmatched(&self, now: KernelNs) -> Unmatched {
        if self.connections.evicted_lately(now) {
            Unmatched::Evicted
        } else if now.since(self.watched_since) < VANISHED_GRACE {
            Unmatched::NotSeen
        } else {
            Unmatched::NoSocket
        }
    }
}

/// Adds a RST to what its connection came to: one incident, however many segments it took.
fn join(held: &mut Held, matched: &mut Vec<Matched>, connection: &mut ClosedConnection, incident: Incident) {
    let was_reset = std::mem::replace(&mut connection.reset, true);
    let Some(id) = connection.incident else {
        connection.incident = Some(held.push(incident));
        return;
    };
    match held.get_mut(id) {
        Some(held) if held.is_explained_by(&incident) => held.take_over(incident),
        // A request can begin in any segment that is answered with a RST.
        Some(held) => {
            held.segments += 1;
            held.request_line = held.request_line.take().or(incident.request_line);
        }
        None if was_reset => matched.push(Matched::FurtherSegment { id }),
        // What was passed on need not have been an incident.
        None => connection.incident = Some(held.push(incident)),
    }
}

/// A connection ended without a RST, as far as this end shows; what a RST ended reports itself.
fn without_rst(held: &mut Held, connection: &mut ClosedConnection, seen: Seen, ending: Ending) {
    if connection.incident.is_none() {
        let role = ending.socket().and_then(|socket| socket.role);
        connection.incident = Some(held.push(seen.incident(role, ending, connection.fin)));
    }
}

/// What every event tells.
struct Seen {
    at: KernelNs,
    flow: Flow,
    request_line: Option<Box<RequestLine>>,
}

impl Seen {
    fn incident(self, role: Option<Role>, ending: Ending, fin: Option<FirstFin>) -> Incident {
        let Self { at, flow, request_line } = self;
        Incident { at, flow, role, ending, fin, reason: None, segments: 0, request_line }
    }
}

/// A RST segment.
struct Rst {
    seen: Seen,
    reason: Option<u32>,
}

impl Rst {
    fn incident(self, role: Option<Role>, ending: Ending, fin: Option<FirstFin>) -> Incident {
        Incident { reason: self.reason, segments: 1, ..self.seen.incident(role, ending, fin) }
    }
}

impl Incident {
    /// Whether a RST, `other`, is what this one was only the outside of. The kernel aborting an orphan shows as a
    /// receive before the RST is sent; a segment can slip in between →CLOSE and the reset that belongs to it; and a FIN
    /// comes before the RST that ends the same close.
    fn is_explained_by(&self, other: &Self) -> bool {
        let by_socket = match &other.ending {
            Ending::Received(_) => false,
            Ending::Passive { found, .. } => matches!(found, Found::Connection(_)),
            _ => true,
        };
        match &self.ending {
            Ending::Fin { .. } | Ending::Silent { .. } => !other.is_stray(),
            Ending::Received(_) => by_socket && matches!(other.ending, Ending::Passive { .. }),
            Ending::Passive { found: Found::Listener(_) | Found::NoSocket(_), .. } => by_socket,
            _ => false,
        }
    }

    /// Whether this is the answer to an empty segment that came when both sides had closed.
    fn is_stray(&self) -> bool {
        matches!(
            &self.ending,
            Ending::Passive { segment, found: Found::NoSocket(_) } if segment.len == 0
        )
    }

    /// Becomes `incident`, which explains it.
    fn take_over(&mut self, incident: Self) {
        let (ending, segments) = match (&self.ending, incident.ending) {
            // The receive was no segment.
            (Ending::Received(_), Ending::Passive { segment, found: Found::Connection(socket) }) => {
                (Ending::Passive { segment, found: Found::Aborted(socket) }, self.segments)
            }
            (_, ending) => (ending, self.segments + 1),
        };
        let request_line = self.request_line.take().or(incident.request_line);
        *self = Self { ending, segments, request_line, ..incident };
    }
}
