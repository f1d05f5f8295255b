//! The close of a connection, and what it tells of the side that closed.

use std::{net::SocketAddr, time::Duration};

use super::{
    first_fin::{FirstFin, IDLE},
    incident::{Ending, Incident},
};
use crate::model::{Flow, KernelNs, LastPayload, Role, Side, SocketSnapshot};

/// A response that flows for longer is a stream (WebSocket, server-sent events, a download): what ends the silence
/// behind it is a read timeout as often as a keep-alive timeout.
const STREAM: Duration = Duration::from_secs(10);

/// One side closed a connection: its first FIN, or a RST while no request was open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Close {
    /// When it was seen.
    pub at: KernelNs,
    /// The connection.
    pub(crate) flow: Flow,
    /// What this host is on it.
    pub role: Option<Role>,
    /// Which side closed.
    pub(crate) by: Side,
    /// In which way.
    pub(crate) ended: EndedBy,
    /// What went before.
    pub(crate) rest: Rest,
    /// Exchanges that the connection had carried, where that is certain: see `Traffic::exchanges`.
    pub(crate) exchanges: Option<u32>,
    /// Its client had sent payload.
    pub(crate) asked: bool,
    /// Its server had sent payload.
    pub(crate) answered: bool,
    /// Its last response flowed for longer than [`STREAM`].
    pub(crate) streamed: bool,
}

/// How a connection ended on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndedBy {
    /// By a FIN.
    Fin,
    /// By a RST.
    Reset,
}

/// What went before a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// A request was open, or payload passed a moment ago.
    None,
    /// The server closed right behind a response.
    BehindResponse,
    /// The connection was idle for so long, at least [`IDLE`]; a last word is not counted.
    Idle(Duration),
    /// The connection was idle for so long, if what the server sent together with its FIN was a last word. It may also
    /// have been a response that took so long.
    Perhaps(Duration),
}

impl Close {
    /// By the first FIN, with the socket as it was then.
    #[must_use]
    pub(crate) fn by_fin(flow: Flow, fin: &FirstFin, socket: &SocketSnapshot) -> Self {
        let mut close = Self::new(flow, socket.role, fin.at, fin.by, socket);
        close.rest = match (fin.idle(), fin.maybe_rest_since) {
            (Some(idle), _) => Rest::Idle(idle),
            (None, Some(since)) => Rest::Perhaps(fin.at.since(since)),
            (None, None) if close.closed_by() == Some(Role::Server) && is_behind_response(fin, socket) => {
                Rest::BehindResponse
            }
            (None, None) => Rest::None,
        };
        close
    }

    /// By a RST, while no request was open: `rest` is from the last payload to the RST. `None` where a FIN came before,
    /// or the reset only answered a segment.
    #[must_use]
    pub(crate) fn by_reset(incident: &Incident, rest: Duration) -> Option<Self> {
        let by = match &incident.ending {
            Ending::Received(_) => Side::Remote,
            Ending::AtClose(_) | Ending::InUse(_) => Side::Local,
            Ending::Passive { .. } | Ending::Fin { .. } | Ending::Silent { .. } => return None,
        };
        let socket = incident.socket().filter(|_| rest >= IDLE && incident.fin.is_none())?;
        let close = Self::new(incident.flow, incident.role, incident.at, by, socket);
        Some(Self { rest: Rest::Idle(rest), ended: EndedBy::Reset, ..close })
    }

    fn new(flow: Flow, role: Option<Role>, at: KernelNs, by: Side, socket: &SocketSnapshot) -> Self {
        let traffic = &socket.traffic;
        let (sent, received) = (traffic.sent > 0, traffic.received > 0);
        let (asked, answered) = if role == Some(Role::Server) { (received, sent) } else { (sent, received) };
        let (request, response) = match role {
            Some(Role::Server) => (traffic.last_received, traffic.last_sent),
            _ => (traffic.last_sent, traffic.last_received),
        };
        Self {
            at,
            flow,
            role,
            by,
            ended: EndedBy::Fin,
            rest: Rest::None,
            exchanges: traffic.exchanges(),
            asked,
            answered,
            // A last word is no end of a stream.
            streamed: response.since(request) > STREAM && at.since(response) >= IDLE,
        }
    }

    /// How long the connection had been idle, where that is certain.
    #[must_use]
    pub fn idle(&self) -> Option<Duration> {
        match self.rest {
            Rest::Idle(idle) => Some(idle),
            _ => None,
        }
    }

    /// Which end of the connection closed; `None` where it is not known which one the server is.
    #[must_use]
    pub fn closed_by(&self) -> Option<Role> {
        let role = self.role?;
        Some(match self.by {
            Side::Local => role,
            Side::Remote => role.other(),
        })
    }

    /// The server end of the connection.
    #[must_use]
    pub fn server(&self) -> Option<SocketAddr> {
        self.flow.server(self.role)
    }

    /// The client end of the connection.
    #[must_use]
    pub(crate) fn client(&self) -> Option<SocketAddr> {
        Some(self.flow.client(self.role?))
    }

    /// Whether it looks like the end of a connection that was kept for the next request. What closes a connection that
    /// carried none, or a stream that fell silent, is another timeout.
    #[must_use]
    pub(crate) fn was_kept(&self) -> bool {
        self.asked && self.answered && !self.streamed
    }
}

/// Whether the server, which closed, had just answered all it was asked. The response need not have arrived, and what
/// it did not read came before: PHP-FPM leaves the last bytes of each request.
fn is_behind_response(fin: &FirstFin, socket: &SocketSnapshot) -> bool {
    let traffic = &socket.traffic;
    let (by_client, by_server) = socket.role.map_or((0, 0), |role| traffic.segments(role));
    let answered_last = match (fin.by, traffic.last_payload) {
        (Side::Local, LastPayload::Local) | (Side::Remote, LastPayload::Remote) => true,
        (_, LastPayload::Unknown) => by_server >= by_client,
        _ => false,
    };
    answered_last && !fin.crossed && by_server > 0 && fin.at.since(traffic.last_activity()) < IDLE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        matching::{Matched, Matcher},
        model::{Event, SocketSnapshot},
        testing::{asked, at, fin, ms, server},
    };

    fn closes(events: impl IntoIterator<Item = Event>) -> Vec<Close> {
        let mut matcher = Matcher::new(ms(0), 100);
        events.into_iter().for_each(|event| matcher.handle(event));
        let close = |matched| if let Matched::Close(close) = matched { Some(close) } else { None };
        matcher.matched().filter_map(close).collect()
    }

    /// The server's FIN at 3.005 s, after it had sent as many segments of so many bytes in all, the last at
    /// `last_sent`; of the last one so many bytes are not acknowledged.
    fn servers_fin(segments: [u32; 2], last_sent: u64, unacknowledged: u32) -> Close {
        let mut socket = server();
        let traffic = &mut socket.traffic;
        [traffic.segments_received, traffic.segments_sent] = segments;
        traffic.last_sent = ms(last_sent);
        traffic.unacknowledged = unacknowledged;
        close_of(Side::Local, socket)
    }

    fn close_of(by: Side, socket: SocketSnapshot) -> Close {
        let closes = closes([at(3_005, fin(by, socket))]);
        assert_eq!(closes.len(), 1);
        closes[0]
    }

    fn idle(milliseconds: u64) -> Rest {
        Rest::Idle(Duration::from_millis(milliseconds))
    }

    #[test]
    fn what_went_before_a_servers_fin_shows_in_times_and_segments() {
        let perhaps = Rest::Perhaps(Duration::from_millis(2_005));
        let behind = Rest::BehindResponse;
        // Segments of the client and the server, when the server's last left, its bytes unacknowledged.
        let table: [(&str, [u32; 2], u64, u32, Rest); 9] = [
            ("idle", [1, 1], 1_010, 0, idle(1_995)),
            ("a close_notify", [3, 4], 3_004, 24, idle(2_005)),
            ("an error packet, acknowledged", [1, 2], 3_000, 0, perhaps),
            ("an error packet, under way", [1, 2], 3_000, 110, perhaps),
            ("the same after five exchanges", [5, 6], 3_000, 110, idle(2_005)),
            ("the same, acknowledged", [5, 6], 3_000, 0, idle(2_005)),
            ("a slow response", [1, 1], 3_004, 0, behind),
            ("a slow response, under way", [1, 1], 3_004, 200, behind),
            ("a slow response in pieces", [4, 9], 3_004, 0, perhaps),
        ];
        for (what, segments, last_sent, unacknowledged, rest) in table {
            assert_eq!(servers_fin(segments, last_sent, unacknowledged).rest, rest, "{what}");
        }
    }

    #[test]
    fn a_close_right_behind_a_response_counts_for_a_limit_where_the_server_sent_it() {
        let mut fresh = server();
        fresh.traffic.last_received = ms(3_003);
        fresh.traffic.last_sent = ms(3_004);
        assert_eq!(close_of(Side::Local, fresh.clone()).rest, Rest::BehindResponse);
        assert_eq!(close_of(Side::Remote, fresh.clone()).rest, Rest::None, "the client closed");
        fresh.traffic.unread = 8;
        assert_eq!(
            close_of(Side::Local, fresh).rest,
            Rest::BehindResponse,
            "it did not read all of the request"
        );
        assert_eq!(close_of(Side::Local, asked()).rest, Rest::None, "a request is open");
    }

    #[test]
    fn exchanges_are_counted_or_proven_or_not_known() {
        assert_eq!(servers_fin([7, 7], 1_010, 0).exchanges, Some(7));
        assert_eq!(servers_fin([7, 9], 1_010, 0).exchanges, None);
        let mut counted = server();
        counted.traffic.requests = Some(4);
        counted.traffic.segments_sent = 9;
        assert_eq!(close_of(Side::Local, counted).exchanges, Some(4));
    }

    #[test]
    fn a_response_that_flowed_for_long_is_a_stream() {
        for (response, streamed) in [(10_900, false), (11_100, true)] {
            let mut socket = server();
            socket.traffic.last_sent = ms(response);
            let close = closes([at(71_000, fin(Side::Local, socket))])[0];
            assert_eq!((close.streamed, close.idle().is_some()), (streamed, true), "{response}");
        }
    }

    #[test]
    fn shutdown_and_then_close_is_one_close() {
        let fins = [3_000, 3_000, 3_600].map(|milliseconds| at(milliseconds, fin(Side::Local, server())));
        assert_eq!(closes(fins).len(), 1);
        let answered = [at(3_000, fin(Side::Local, server())), at(3_100, fin(Side::Remote, server()))];
        assert_eq!(closes(answered).len(), 1);
    }
}
