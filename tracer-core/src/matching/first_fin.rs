//! The first FIN of a connection, and what was going on when it was sent.

use std::time::Duration;

use crate::model::{KernelNs, LastPayload, Role, Side, SocketSnapshot};

/// A connection on which payload pauses for less is not idle.
pub const IDLE: Duration = Duration::from_millis(50);

/// The sizes that a protocol's last word, or the answer to one, has on the wire; a request of just such a size is
/// possible but rare, and then called unknown.
///
/// A TLS `close_notify`: 23 and 24 (`ChaCha20`, TLS 1.3), 31 (AES-GCM). An HTTP/2 `GOAWAY`: 17, in TLS 39 and 46; with
/// the `close_notify` behind it 63. Longer ones exist, of ciphers out of use, and are as long as short HTTP requests.
const LAST_WORDS: [u32; 7] = [17, 23, 24, 31, 39, 46, 63];

/// Whether payload of this size may be a last word or the answer to one, and no request.
#[must_use]
pub(crate) fn may_be_last_word(bytes: u32) -> bool {
    LAST_WORDS.contains(&bytes)
}

/// A last word leaves together with the FIN: within two ticks of the slowest kernel.
const TOGETHER: Duration = Duration::from_millis(20);

/// As many exchanges no handshake takes, not even with one request behind it.
pub(crate) const PROVEN: u32 = 5;

/// The first FIN of a connection, with all that the socket told at that moment and that matters later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FirstFin {
    /// When it was sent or received here.
    pub at: KernelNs,
    /// Who sent it.
    pub by: Side,
    /// Payload of ours was on its way, or still to leave, when the peer's FIN arrived.
    pub crossed: bool,
    /// Whether its sender said something along with it, unasked, such as a TLS `close_notify`.
    pub last_word: LastWord,
    /// Whose payload came last before; a last word hides it.
    pub last_payload: LastPayload,
    /// When payload last passed before. A last word overwrites its sender's time: then the other side's.
    pub rest_since: KernelNs,
    /// When payload had passed before what the server sent together with its FIN, if that may have been a last word of
    /// any size: an error packet, a 408. It may as well be the response to a slow request, which looks the same.
    pub maybe_rest_since: Option<KernelNs>,
    /// Payload received until then.
    pub received: u64,
    /// Payload received that the application had not read then.
    pub unread: u32,
    /// Of that, what came since the peer last acknowledged something new: see `Traffic::received_since_ack`.
    pub received_since_ack: Option<u32>,
    /// Payload sent until then.
    pub sent: u64,
    /// Of that, what the peer had not acknowledged.
    pub unacknowledged: u32,
    /// Segments with payload sent until then, a last word of ours not counted.
    pub segments_sent: u32,
    /// Segments with payload received until then, a last word of the peer's not counted.
    pub segments_received: u32,
    /// Its sender, this end, still waited for what the peer says.
    pub half_closed: bool,
    /// Where our payload ended, a last word not counted.
    pub response_end: u32,
    /// A request was under way.
    pub(crate) request_open: bool,
}

/// Whether payload that left together with a FIN was its sender's last word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastWord {
    /// There was none.
    None,
    /// There was payload after a rest, but its size was not to be seen any more.
    Possible,
    /// A few bytes, after a rest or against payload that was crossing; or more of which the segments prove it.
    Said,
}

impl FirstFin {
    /// Notes what `socket` tells at the moment of the FIN.
    #[must_use]
    pub(crate) fn new(at: KernelNs, by: Side, socket: &SocketSnapshot) -> Self {
        let traffic = &socket.traffic;
        let crossed = by == Side::Remote && (traffic.unacknowledged > 0 || traffic.unsent > 0);
        let last_word = last_word(at, by, socket, crossed);
        let said = last_word == LastWord::Said;
        let last_payload = if said { LastPayload::Unknown } else { traffic.last_payload };
        Self {
            at,
            by,
            crossed,
            last_word,
            last_payload,
            rest_since: match by {
                _ if !said => traffic.last_activity(),
                Side::Local => traffic.last_received,
                Side::Remote => traffic.last_sent,
            },
            maybe_rest_since: (!said).then(|| maybe_rest_since(at, by, socket)).flatten(),
            received: traffic.received,
            unread: traffic.unread,
            received_since_ack: traffic.received_since_ack,
            sent: traffic.sent,
            unacknowledged: traffic.unacknowledged,
            segments_sent: traffic.segments_sent.saturating_sub((said && by == Side::Local).into()),
            segments_received: traffic.segments_received.saturating_sub((said && by == Side::Remote).into()),
            half_closed: by == Side::Local && socket.half_closed,
            response_end: match by {
                Side::Local if said => traffic.snd_una,
                _ => traffic.payload_end,
            },
            request_open: if said { crossed } else { request_open(socket) },
        }
    }

    /// How long nothing had passed but for what may have been a last word.
    #[must_use]
    pub(crate) fn rest(&self) -> Duration {
        self.at.since(self.maybe_rest_since.unwrap_or(self.rest_since))
    }

    /// How long the connection had rested, where no request was open.
    #[must_use]
    pub(crate) fn idle(&self) -> Option<Duration> {
        let idle = self.at.since(self.rest_since);
        (idle >= IDLE && !self.request_open).then_some(idle)
    }
}

/// Whether a request was under way at a FIN without a last word: the client sent last, or something is unread or
/// unacknowledged.
fn request_open(socket: &SocketSnapshot) -> bool {
    client_sent_last(socket) || socket.traffic.unacknowledged > 0 || socket.traffic.unread > 0
}

/// Whether the client sent last. Where one jiffy hides the order, more segments from the client than from the server
/// show it.
pub(super) fn client_sent_last(socket: &SocketSnapshot) -> bool {
    let traffic = &socket.traffic;
    socket.role.is_some_and(|role| {
        let (by_client, by_server) = traffic.segments(role);
        let client = match role {
            Role::Client => LastPayload::Local,
            Role::Server => LastPayload::Remote,
        };
        match traffic.last_payload {
            LastPayload::Unknown => by_client > by_server,
            last => last == client,
        }
    })
}

/// What left together with the FIN: a few bytes, either after a rest or against payload that was crossing; or one more
/// segment of the server's after as many exchanges as prove it, whatever its size.
fn last_word(at: KernelNs, by: Side, socket: &SocketSnapshot, crossed: bool) -> LastWord {
    let traffic = &socket.traffic;
    let bytes = match by {
        Side::Local => traffic.unacknowledged,
        Side::Remote => traffic.unread,
    };
    let parting = Parting::new(at, by, socket);
    if !parting.together || !(parting.rested || crossed) {
        return LastWord::None;
    }
    match bytes {
        bytes if may_be_last_word(bytes) => LastWord::Said,
        _ if parting.rested && spoke_once_more(by, socket) => LastWord::Said,
        // Acknowledged or read already: how much it was, nobody knows.
        0 if parting.rested => LastWord::Possible,
        _ => LastWord::None,
    }
}

/// The payload that its sender sent last before it closed.
struct Parting {
    /// It left together with the FIN.
    together: bool,
    /// It came after a rest.
    rested: bool,
    /// When the other side's payload had passed before.
    before: KernelNs,
}

impl Parting {
    fn new(at: KernelNs, by: Side, socket: &SocketSnapshot) -> Self {
        let traffic = &socket.traffic;
        let (sent, before) = match by {
            Side::Local => (traffic.last_sent, traffic.last_received),
            Side::Remote => (traffic.last_received, traffic.last_sent),
        };
        Self { together: at.since(sent) <= TOGETHER, rested: sent.since(before) >= IDLE, before }
    }
}

/// Whether the server closed, and sent one more segment than it was asked for. A handshake and one request take fewer
/// exchanges than [`PROVEN`]; with fewer the last two segments may be one slow response.
fn spoke_once_more(by: Side, socket: &SocketSnapshot) -> bool {
    servers_segments(by, socket)
        .is_some_and(|(asked, said)| asked >= PROVEN && asked.checked_add(1) == Some(said))
}

/// See [`FirstFin::maybe_rest_since`]. A server that sent no more segments than it was asked for answered with the last
/// one.
fn maybe_rest_since(at: KernelNs, by: Side, socket: &SocketSnapshot) -> Option<KernelNs> {
    let parting = Parting::new(at, by, socket);
    let said_more = servers_segments(by, socket).is_some_and(|(asked, said)| asked > 0 && said > asked);
    (parting.together && parting.rested && said_more).then_some(parting.before)
}

/// Segments with payload of the client and of the server, if it is the server that closes.
fn servers_segments(by: Side, socket: &SocketSnapshot) -> Option<(u32, u32)> {
    let server = match by {
        Side::Local => Role::Server,
        Side::Remote => Role::Client,
    };
    socket.role.filter(|&role| role == server).map(|role| socket.traffic.segments(role))
}
