//! Joins each RST with the connection it ended: one incident per connection, however many segments it took.
//!
//! A reset is held for a moment before it is passed on, so that the segments and events that belong to it are there
//! when it is judged.

use std::time::Duration;

use super::{
    close::Close,
    closed_connections::{ClosedConnection, ClosedConnections},
    first_fin::FirstFin,
    held::Held,
    incident::{Found, Incident, Known, Reset, Unmatched},
};
use crate::model::{
    Event, EventKind, Flow, KernelNs, LastPayload, RequestLine, Role, Segment, SendReset, Side, SocketKind,
    SocketSnapshot, TcpState,
};

/// How long after a connection vanished segments of it may still be under way. A tracer that watched for less cannot
/// tell a connection that just closed from one that never was.
const VANISHED_GRACE: Duration = Duration::from_secs(1);

/// What comes of events.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Matched {
    /// A reset, ready to be judged.
    Incident {
        /// Its number, counted from 0.
        id: u64,
        /// What is known of it.
        incident: Incident,
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
        let Event { at, flow, kind } = event;
        self.advance(at);
        match kind {
            EventKind::Fin { by, socket } => self.fin(at, flow, by, socket),
            EventKind::Close { socket } => {
                self.connections.touch(flow, at, |known| known.is(&socket)).update(socket);
            }
            EventKind::ReceiveReset { socket, request_line } => {
                self.received(at, flow, socket, request_line);
            }
            EventKind::SendReset { reset, reason, request_line } => {
                let rst = RstSegment { at, flow, reason, request_line };
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
            self.matched.push(Matched::Incident { id, incident });
        }
        self.connections.expire(now);
        self.unknown_connections.expire(now);
    }

    /// Passes on everything that is held, at the end.
    pub(crate) fn flush(&mut self) {
        while let Some((id, incident)) = self.held.pop() {
            self.matched.push(Matched::Incident { id, incident });
        }
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

    fn fin(&mut self, at: KernelNs, flow: Flow, by: Side, mut socket: SocketSnapshot) {
        let connection = self.connections.touch(flow, at, |known| known.is(&socket));
        if connection.fin.is_none() {
            let fin = FirstFin::new(at, by, &socket);
            connection.fin = Some(fin);
            if connection.incident.is_none() {
                self.matched.push(Matched::Close(Close::by_fin(flow, &fin, &socket)));
            }
        }
        socket.state = match by {
            Side::Local => TcpState::FinWait1,
            Side::Remote => TcpState::CloseWait,
        };
        connection.update(socket);
    }

    /// A RST ended a socket, or the kernel aborts an orphan: then the passive reset that follows takes this incident
    /// over, see [`Self::by_connection`].
    fn received(&mut self, at: KernelNs, flow: Flow, socket: SocketSnapshot, line: Option<Box<RequestLine>>) {
        let rst = RstSegment { at, flow, reason: None, request_line: line };
        if socket.state == TcpState::SynSent {
            // No connection came to be: nothing that later segments could belong to.
            self.held.push(rst.incident(socket.role, Reset::Received(socket), None));
            return;
        }
        let connection = self.connections.touch(flow, at, |known| known.is(&socket));
        if let Some(id) = connection.incident {
            self.add_segment(id, rst.request_line);
            return;
        }
        let fin = connection.fin;
        let socket = connection.update(socket);
        let incident = rst.incident(socket.role, Reset::Received(socket), fin);
        connection.incident = Some(self.held.push(incident));
    }

    fn active(&mut self, rst: RstSegment, socket: SocketSnapshot) {
        let at_close = socket.state == TcpState::Close;
        self.by_connection(rst, socket, if at_close { Reset::AtClose } else { Reset::InUse });
    }

    fn passive(&mut self, rst: RstSegment, segment: Segment, found: SocketKind) {
        match found {
            SocketKind::Connection(socket) => {
                self.by_connection(rst, socket, |socket| Reset::Passive {
                    segment,
                    found: Found::Connection(socket),
                });
            }
            SocketKind::TimeWait { rcv_nxt } => {
                self.update_from_time_wait(&rst, segment, rcv_nxt);
                self.without_socket(rst, segment, Found::TimeWait);
            }
            SocketKind::Listener => self.without_socket(rst, segment, Found::Listener),
            SocketKind::NoSocket => self.without_socket(rst, segment, Found::NoSocket),
        }
    }

    /// A reset by the connection's own socket.
    fn by_connection(
        &mut self,
        rst: RstSegment,
        socket: SocketSnapshot,
        reset: impl FnOnce(SocketSnapshot) -> Reset,
    ) {
        let connection = self.connections.touch(rst.flow, rst.at, |known| known.is(&socket));
        let fin = connection.fin;
        let socket = connection.update(socket);
        let incident = rst.incident(socket.role, reset(socket), fin);
        match connection.incident {
            None => connection.incident = Some(self.held.push(incident)),
            Some(id) => match self.held.get_mut(id) {
                Some(held) if held.is_explained_by(&incident) => held.take_over(incident),
                _ => self.add_segment(id, incident.request_line),
            },
        }
    }

    /// Payload that was received after our FIN shows only in the mini-socket's sequence number.
    fn update_from_time_wait(&mut self, rst: &RstSegment, segment: Segment, rcv_nxt: u32) {
        if let Some(connection) = self.connections.find(&rst.flow, rst.at, |known| known.owns(&segment))
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
    fn without_socket(&mut self, rst: RstSegment, segment: Segment, found: fn(Known) -> Found) {
        let passive = |known| Reset::Passive { segment, found: found(known) };
        if segment.opening {
            // A SYN belongs to no connection, and there will be none.
            let reset = passive(Known::Nothing(Unmatched::NoSocket));
            self.held.push(rst.incident(Some(Role::Server), reset, None));
            return;
        }
        let unmatched = self.why_unmatched(rst.at);
        let owns = |known: &ClosedConnection| known.owns(&segment);
        let connection = match self.connections.find(&rst.flow, rst.at, owns) {
            Some(known) => known,
            None => self.unknown_connections.touch(rst.flow, rst.at, owns),
        };
        if let Some(id) = connection.incident {
            self.add_segment(id, rst.request_line);
            return;
        }
        connection.note(segment);
        let known = match connection.socket() {
            Some(socket) => Known::Closed(socket.clone()),
            None => Known::Nothing(unmatched),
        };
        let role = connection.socket().and_then(|socket| socket.role);
        let found = found(known);
        let role = role.or_else(|| matches!(found, Found::Listener(_)).then_some(Role::Server));
        let incident = rst.incident(role, Reset::Passive { segment, found }, connection.fin);
        connection.incident = Some(self.held.push(incident));
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

    /// One more segment of an incident. A request can begin in any of those that are answered with a RST.
    fn add_segment(&mut self, id: u64, line: Option<Box<RequestLine>>) {
        match self.held.get_mut(id) {
            Some(incident) => {
                incident.segments += 1;
                incident.request_line = incident.request_line.take().or(line);
            }
            None => self.matched.push(Matched::FurtherSegment { id }),
        }
    }
}

/// A RST segment, as far as all kinds of them are alike.
struct RstSegment {
    at: KernelNs,
    flow: Flow,
    reason: Option<u32>,
    request_line: Option<Box<RequestLine>>,
}

impl RstSegment {
    fn incident(self, role: Option<Role>, reset: Reset, fin: Option<FirstFin>) -> Incident {
        let Self { at, flow, reason, request_line } = self;
        Incident { at, flow, role, reset, fin, reason, segments: 1, request_line }
    }
}

impl Incident {
    /// Whether `reset`, by the connection's own socket, is what this one was only the outside of: the kernel aborting
    /// an orphan shows as a receive before the RST is sent, and a segment can slip in between →CLOSE and the reset that
    /// belongs to it.
    fn is_explained_by(&self, reset: &Self) -> bool {
        match &self.reset {
            Reset::Received(_) => matches!(reset.reset, Reset::Passive { .. }),
            Reset::Passive { found: Found::Listener(_) | Found::NoSocket(_), .. } => true,
            _ => false,
        }
    }

    /// Becomes `incident`, which explains it.
    fn take_over(&mut self, incident: Self) {
        let (reset, segments) = match (&self.reset, incident.reset) {
            // The receive was no segment.
            (Reset::Received(_), Reset::Passive { segment, found: Found::Connection(socket) }) => {
                (Reset::Passive { segment, found: Found::Aborted(socket) }, self.segments)
            }
            (_, reset) => (reset, self.segments + 1),
        };
        *self = Self { reset, segments, ..incident };
    }
}
