//! Joins each RST with the connection it ended: one incident per connection, however many segments it took.
//!
//! Pure: events and times go in, outcomes come out. A reset is held for [`SETTLE`] before it is passed on, so
//! that the segments and events that belong to it are there when it is judged.

use std::{collections::VecDeque, time::Duration};

use crate::{
    decode::request_line::RequestLine,
    matching::closed_connections::{Connection, Connections},
    matching::first_fin::Fin,
    matching::incident::{Holder, Matched, MatchedReset, Trigger, Unmatched},
    model::event::{Event, EventKind, Flow, LastPayload, Origin, Role, Segment, Side, Socket, TcpState},
    model::time::KernelNs,
};

/// How long a reset waits for what belongs to it: the passive reset behind a false receive (microseconds),
/// further segments of the same crossing (a round trip).
pub const SETTLE: Duration = Duration::from_millis(100);

/// How long after a connection vanished segments of it may still be under way. A tracer that watched for
/// less cannot tell a connection that just closed from one that never was.
const MOMENT: Duration = Duration::from_secs(1);

/// Resets held at once. Beyond it the oldest are passed on early.
const MAX_HELD: usize = 16_384;

/// What comes out.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// A reset, ready to be judged.
    Reset(Box<MatchedReset>),
    /// Another RST segment for a reset that was passed on already.
    Segment {
        /// Its incident.
        id: u64,
    },
    /// A connection was closed while it was idle.
    IdleClose(IdleClose),
}

/// A FIN on a connection that rested for at least [`crate::fin::IDLE`] with no request open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IdleClose {
    /// When.
    pub at: KernelNs,
    /// The connection.
    pub flow: Flow,
    /// Which end this host is.
    pub role: Role,
    /// Who closed.
    pub by: Side,
    /// From the last payload, or from establishment if there was none, to the FIN. With a farewell, from the
    /// last payload of the side that did not say it.
    pub idle: Duration,
    /// Requests that the connection had carried, as far as known: see `Traffic::requests_carried`.
    pub requests: Option<u32>,
}

impl IdleClose {
    /// Which end of the connection closed; `None` where it is not known which one the server is.
    #[must_use]
    pub fn closed_by(&self) -> Option<Role> {
        match (self.role, self.by) {
            (Role::Unknown, _) => None,
            (Role::Server, Side::Local) | (Role::Client, Side::Remote) => Some(Role::Server),
            _ => Some(Role::Client),
        }
    }
}

/// The state of the matching.
#[derive(Debug)]
pub struct Matcher {
    connections: Connections,
    /// Connections known by nothing but a segment that was reset. Apart, so that stray segments cannot drive
    /// out connections.
    strangers: Connections,
    held: VecDeque<MatchedReset>,
    next_id: u64,
    watching_since: KernelNs,
    outcomes: Vec<Outcome>,
}

impl Matcher {
    /// A matcher that watches from `now` on and remembers at most `max_connections`.
    #[must_use]
    pub fn new(now: KernelNs, max_connections: usize) -> Self {
        Self {
            connections: Connections::new(max_connections),
            strangers: Connections::new(max_connections.div_ceil(16)),
            held: VecDeque::new(),
            next_id: 0,
            watching_since: now,
            outcomes: Vec::new(),
        }
    }

    /// Takes one event. Time passes with the events, so that their grouping makes no difference.
    pub fn handle(&mut self, event: Event) {
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
            EventKind::SendReset { origin, segment, reason, request_line } => {
                let sent = Sent { at, flow, segment, reason, request_line };
                match origin {
                    Origin::Connection(socket) => self.sent_by_connection(sent, socket),
                    Origin::TimeWait { rcv_nxt } => self.sent_by_time_wait(sent, rcv_nxt),
                    Origin::Listener => self.sent_without_socket(sent, Holder::Listener),
                    Origin::NoSocket => self.sent_without_socket(sent, Holder::NoSocket),
                }
            }
        }
    }

    /// Lets time pass: passes on what has settled, forgets what is old.
    pub fn advance(&mut self, now: KernelNs) {
        while self.held.front().is_some_and(|reset| now.since(reset.at) >= SETTLE) {
            self.release();
        }
        self.connections.expire(now);
        self.strangers.expire(now);
    }

    /// Passes on everything that is held, at the end.
    pub fn flush(&mut self) {
        while !self.held.is_empty() {
            self.release();
        }
    }

    /// When [`Self::advance`] next has a reset to pass on.
    #[must_use]
    pub fn next_due(&self) -> Option<KernelNs> {
        self.held.front().map(|reset| reset.at.plus(SETTLE))
    }

    /// Takes out what came of it so far, in order.
    pub fn outcomes(&mut self) -> impl Iterator<Item = Outcome> {
        self.outcomes.drain(..)
    }

    /// How many connections are remembered.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.len() + self.strangers.len()
    }

    fn fin(&mut self, at: KernelNs, flow: Flow, by: Side, mut socket: Socket) {
        let connection = self.connections.touch(flow, at, |known| known.is(&socket));
        let fin = Fin::new(at, by, &socket);
        connection.fin.get_or_insert(fin);
        let idle = fin.idle(&socket).filter(|_| connection.incident.is_none());
        if let Some(idle) = idle {
            let requests = socket.traffic.requests_carried(socket.role);
            let close = IdleClose { at, flow, role: socket.role, by, idle, requests };
            self.outcomes.push(Outcome::IdleClose(close));
        }
        socket.state = match by {
            Side::Local => TcpState::FinWait1,
            Side::Remote => TcpState::CloseWait,
        };
        connection.update(socket);
    }

    /// A RST ended a socket, or the kernel aborts an orphan: then the passive reset that follows takes this
    /// incident over, see [`Self::sent_by_connection`].
    fn received(&mut self, at: KernelNs, flow: Flow, socket: Socket, line: Option<Box<RequestLine>>) {
        if socket.state == TcpState::SynSent {
            // No connection came to be: nothing that later segments could belong to.
            self.hold(received_by(&socket, at, flow, None, None));
            return;
        }
        let connection = self.connections.touch(flow, at, |known| known.is(&socket));
        if let Some(id) = connection.incident {
            self.add_segment(id, line);
            return;
        }
        connection.incident = Some(self.next_id);
        let fin = connection.fin;
        let reset = received_by(&connection.update(socket), at, flow, fin, line);
        self.hold(reset);
    }

    fn sent_by_connection(&mut self, sent: Sent, socket: Socket) {
        let connection = self.connections.touch(sent.flow, sent.at, |known| known.is(&socket));
        let after_close = socket.state == TcpState::Close;
        let trigger = sent.segment.map_or(Trigger::Active { after_close }, Trigger::Passive);
        let fin = connection.fin;
        let socket = connection.update(socket);
        let answers = sent.segment.is_some();
        let reset = sent.matched(trigger, Holder::Connection, Matched::Socket, Some(&socket), fin);
        let Some(id) = connection.incident else {
            connection.incident = Some(self.next_id);
            self.hold(reset);
            return;
        };
        match find(&mut self.held, id) {
            // The receive before this was the kernel aborting an orphan: no segment, and this is the reset.
            Some(held) if answers && held.trigger == Trigger::Received => {
                *held = MatchedReset { id, own_abort: true, segments: held.segments, ..reset };
            }
            // A segment slipped in between →CLOSE and the reset that belongs to it: the socket knows more.
            Some(held) if matches!(held.holder, Holder::Listener | Holder::NoSocket) => {
                *held = MatchedReset { id, segments: held.segments + 1, ..reset };
            }
            _ => self.add_segment(id, reset.request_line),
        }
    }

    fn sent_by_time_wait(&mut self, sent: Sent, rcv_nxt: u32) {
        let Some(segment) = sent.segment else { return };
        if let Some(connection) = self.connections.find(&sent.flow, sent.at, |known| known.owns(&segment))
            && let Some(socket) = connection.socket_mut()
        {
            // Payload that was received after our FIN shows only in the mini-socket's sequence number.
            let traffic = &mut socket.traffic;
            let received = rcv_nxt.wrapping_sub(traffic.rcv_nxt);
            if received != 0 {
                traffic.received = traffic.received.saturating_add(u64::from(received));
                traffic.rcv_nxt = rcv_nxt;
                traffic.last_payload = LastPayload::Unknown;
            }
            socket.state = TcpState::TimeWait;
        }
        self.sent_without_socket(sent, Holder::TimeWait);
    }

    /// A reset for a connection whose socket is gone: one that closed lately, or a stranger.
    fn sent_without_socket(&mut self, sent: Sent, holder: Holder) {
        let Some(segment) = sent.segment else { return };
        let trigger = Trigger::Passive(segment);
        if segment.opening {
            // A SYN belongs to no connection, and there will be none.
            let mut reset = sent.matched(trigger, holder, Matched::None(Unmatched::NoSocket), None, None);
            reset.role = Role::Server;
            self.hold(reset);
            return;
        }
        let unmatched = self.why_unmatched(sent.at);
        let owns = |known: &Connection| known.owns(&segment);
        let connection = match self.connections.find(&sent.flow, sent.at, owns) {
            Some(known) => known,
            None => self.strangers.touch(sent.flow, sent.at, owns),
        };
        if let Some(id) = connection.incident {
            self.add_segment(id, sent.request_line);
            return;
        }
        connection.incident = Some(self.next_id);
        connection.note(segment);
        let matched = if connection.socket().is_some() { Matched::Closed } else { Matched::None(unmatched) };
        let mut reset = sent.matched(trigger, holder, matched, connection.socket(), connection.fin);
        if reset.role == Role::Unknown && holder == Holder::Listener {
            reset.role = Role::Server;
        }
        self.hold(reset);
    }

    fn why_unmatched(&self, now: KernelNs) -> Unmatched {
        if self.connections.evicted_lately(now) {
            Unmatched::Evicted
        } else if now.since(self.watching_since) < MOMENT {
            Unmatched::NotSeen
        } else {
            Unmatched::NoSocket
        }
    }

    fn hold(&mut self, mut reset: MatchedReset) {
        reset.id = self.next_id;
        self.next_id += 1;
        self.held.push_back(reset);
        if self.held.len() > MAX_HELD {
            self.release();
        }
    }

    fn release(&mut self) {
        if let Some(reset) = self.held.pop_front() {
            self.outcomes.push(Outcome::Reset(Box::new(reset)));
        }
    }

    /// One more segment of an incident. A request can begin in any of those that are answered with a RST.
    fn add_segment(&mut self, id: u64, line: Option<Box<RequestLine>>) {
        match find(&mut self.held, id) {
            Some(reset) => {
                reset.segments += 1;
                reset.request_line = reset.request_line.take().or(line);
            }
            None => self.outcomes.push(Outcome::Segment { id }),
        }
    }
}

/// A sent RST segment, as far as all kinds of them are alike.
struct Sent {
    at: KernelNs,
    flow: Flow,
    segment: Option<Segment>,
    reason: Option<u32>,
    request_line: Option<Box<RequestLine>>,
}

impl Sent {
    fn matched(
        self,
        trigger: Trigger,
        holder: Holder,
        matched: Matched,
        socket: Option<&Socket>,
        fin: Option<Fin>,
    ) -> MatchedReset {
        MatchedReset {
            id: 0,
            at: self.at,
            flow: self.flow,
            role: socket.map_or(Role::Unknown, |socket| socket.role),
            trigger,
            holder,
            state: match holder {
                Holder::Connection => socket.map(|socket| socket.state),
                Holder::TimeWait => Some(TcpState::TimeWait),
                Holder::Listener => Some(TcpState::Listen),
                Holder::NoSocket => None,
            },
            socket: socket.cloned(),
            fin,
            matched,
            reason: self.reason,
            own_abort: false,
            segments: 1,
            request_line: self.request_line,
        }
    }
}

fn received_by(
    socket: &Socket,
    at: KernelNs,
    flow: Flow,
    fin: Option<Fin>,
    request_line: Option<Box<RequestLine>>,
) -> MatchedReset {
    MatchedReset {
        id: 0,
        at,
        flow,
        role: socket.role,
        trigger: Trigger::Received,
        holder: Holder::Connection,
        state: Some(socket.state),
        socket: Some(socket.clone()),
        fin,
        matched: Matched::Socket,
        reason: None,
        own_abort: false,
        segments: 1,
        request_line,
    }
}

/// Incidents are held in the order of their numbers, without gaps.
fn find(held: &mut VecDeque<MatchedReset>, id: u64) -> Option<&mut MatchedReset> {
    let first = held.front()?.id;
    held.get_mut(usize::try_from(id.checked_sub(first)?).ok()?)
}
