//! What a client says behind TLS that is no request: its last word, and what cannot be told from one.

use std::time::Duration;

use super::reuse::more_than_answered;
use crate::{
    matching::{FirstFin, IDLE, Incident, LastWord, may_be_last_word},
    model::{KernelNs, LastPayload, Role, Side, Traffic},
};

/// The longest that a client's last words come to: a `GOAWAY` or a QUIT, each in a TLS record, and an alert behind it.
pub(super) const LONGEST_LAST_WORD: u32 = 99;

/// A `GOAWAY` and an alert of AES-GCM, each in a record: see `LAST_WORDS`. Plain requests can be as long.
const GOAWAY_AND_ALERT: u32 = 77;

/// So long a busy machine may keep a client from closing behind its last word. Whoever waits for an answer mostly waits
/// longer.
pub(super) const HELD_UP: Duration = Duration::from_millis(250);

/// What a client says at least in a handshake of TLS.
const HELLO: u64 = 250;

/// What a server says at least in a handshake of TLS: one that goes on with an older session sends no certificate.
const RESUMED: u64 = 120;

/// A hello as long as this may take two segments: the keys of post-quantum cryptography do.
const LONG_HELLO: u64 = 1_200;

/// The longest end of a client's handshake without a certificate, with an alert behind it.
const LONGEST_END: u32 = 160;

/// What had passed before the payload that may be a last word.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spoken {
    /// Segments with payload of the client and of the server.
    segments: (u32, u32),
    /// Bytes of the client and of the server.
    bytes: (u64, u64),
}

impl Spoken {
    /// At a server, before the last `size` bytes that it received.
    pub(super) fn to_server(traffic: &Traffic, size: u32) -> Self {
        Self {
            segments: (traffic.segments_received.saturating_sub(1), traffic.segments_sent),
            bytes: (traffic.received.saturating_sub(size.into()), traffic.sent),
        }
    }

    /// At a server, all of it.
    fn by_server(traffic: &Traffic) -> Self {
        Self {
            segments: (traffic.segments_received, traffic.segments_sent),
            bytes: (traffic.received, traffic.sent),
        }
    }

    /// At a client, all of it.
    pub(super) fn by_client(traffic: &Traffic) -> Self {
        Self {
            segments: (traffic.segments_sent, traffic.segments_received),
            bytes: (traffic.sent, traffic.received),
        }
    }

    /// At a server, before the first FIN.
    pub(super) fn until_at_server(fin: FirstFin) -> Self {
        Self { segments: (fin.segments_received, fin.segments_sent), bytes: (fin.received, fin.sent) }
    }

    /// At a client, before the first FIN.
    pub(super) fn until_at_client(fin: FirstFin) -> Self {
        Self { segments: (fin.segments_sent, fin.segments_received), bytes: (fin.sent, fin.received) }
    }

    /// Whether it is as much as a TLS handshake takes.
    pub(super) fn is_handshake(self) -> bool {
        self.segments.0 >= 2 && self.bytes.0 >= HELLO && self.bytes.1 >= HELLO
    }

    /// Whether it may be no more than a TLS handshake: a hello, what ends the handshake, perhaps an alert; closed after
    /// `waited`. The last `size` bytes, where that is known, then are no second request about as long as the first.
    fn is_handshake_alone(self, size: Option<u32>, waited: Duration) -> bool {
        let behind_hello = self.segments.0.saturating_sub(1);
        let long_hello = self.bytes.0 >= LONG_HELLO;
        let with_alert = match size {
            Some(size) => waited < HELD_UP && size <= LONGEST_END,
            None => waited < IDLE,
        };
        self.bytes.0 >= HELLO
            && self.bytes.1 >= RESUMED
            && !size.is_some_and(|size| self.is_alike(size))
            && match behind_hello {
                1 => waited < HELD_UP,
                2 => with_alert || (long_hello && waited < HELD_UP),
                3 => long_hello && with_alert,
                _ => false,
            }
    }

    /// Whether it is a handshake rather than requests about as long as the last one, of `size` bytes.
    pub(super) fn is_behind_tls(self, size: u32) -> bool {
        self.is_handshake() && !self.is_alike(size)
    }

    /// Whether the client had sent segments of just this length and no other: then this is one more such request.
    pub(super) fn is_of(self, size: u32) -> bool {
        self.bytes.0 > 0 && self.bytes.0 == u64::from(self.segments.0) * u64::from(size)
    }

    /// Whether the client's segments were about as long on average.
    fn is_alike(self, size: u32) -> bool {
        let by_size = u64::from(self.segments.0) * u64::from(size);
        self.bytes.0.abs_diff(by_size) <= by_size / 16
    }

    /// Whether `size` more bytes of the client may be what TLS says at the end: they are few, and come behind a
    /// handshake and segments that were answered. Requests in two segments, a head and a body, were not.
    pub(super) fn may_precede_last_word(self, size: u32) -> bool {
        (1..=LONGEST_LAST_WORD).contains(&size) && self.was_answered_behind_tls(size)
    }

    /// Likewise where nothing else shows a last word: only `size` tells it from a short request.
    fn precedes_last_word(self, size: u32) -> bool {
        (may_be_last_word(size) || size == GOAWAY_AND_ALERT) && self.was_answered_behind_tls(size)
    }

    fn was_answered_behind_tls(self, size: u32) -> bool {
        self.is_behind_tls(size) && self.segments.0 <= self.segments.1.saturating_add(1)
    }

    /// Whether `size` bytes behind the server's `fin` may be no request, but what TLS says when it is closed: of an
    /// alert's size, or the answer to what the server had said unasked.
    pub(super) fn may_answer_close(self, size: u32, fin: FirstFin) -> bool {
        let unasked = fin.last_word != LastWord::None || fin.maybe_rest_since.is_some();
        !self.is_of(size) && (may_be_last_word(size) || (unasked && self.may_precede_last_word(size)))
    }
}

/// Whether the client may have said no more than a TLS handshake takes before the connection ended at `end`, as the
/// end with `role` saw it. So balancers see whether a server speaks TLS: nobody knows of a request.
pub(super) fn only_shook_hands(traffic: &Traffic, role: Role, end: KernelNs) -> bool {
    let (spoken, last, size) = match role {
        Role::Client => (Spoken::by_client(traffic), traffic.last_sent, known(traffic.unacknowledged)),
        Role::Server => (
            Spoken::by_server(traffic),
            traffic.last_received,
            traffic.received_since_ack.or(known(traffic.unread)),
        ),
    };
    !rested(traffic, role) && spoken.is_handshake_alone(size, end.since(last))
}

/// Likewise where it ended by a `fin`.
pub(super) fn only_shook_hands_before(fin: FirstFin, traffic: &Traffic, role: Role) -> bool {
    let (spoken, size) = match role {
        Role::Client => (Spoken::until_at_client(fin), known(fin.unacknowledged)),
        Role::Server => (Spoken::until_at_server(fin), fin.received_since_ack.or(known(fin.unread))),
    };
    !rested(traffic, role) && spoken.is_handshake_alone(size, fin.at.since(fin.rest_since))
}

/// Whether the client's last payload came after a rest, as far as that shows: no handshake has one.
fn rested(traffic: &Traffic, role: Role) -> bool {
    let (last, before) = match role {
        Role::Client => (traffic.last_sent, traffic.last_received),
        Role::Server => (traffic.last_received, traffic.last_sent),
    };
    last.since(before) >= IDLE || last.since(traffic.last_read) >= IDLE
}

/// Whether a server's client said no more than a handshake, and closed it by its FIN or by its RST.
pub(super) fn clients_handshake_alone(incident: &Incident, traffic: &Traffic) -> bool {
    match incident.fin_by(Side::Remote) {
        Some(fin) => only_shook_hands_before(fin, traffic, Role::Server),
        None => only_shook_hands(traffic, Role::Server, incident.at),
    }
}

/// Of what was acknowledged, or read, how much it was is not known.
fn known(left: u32) -> Option<u32> {
    (left > 0).then_some(left)
}

/// Whether what the server received last may be TLS' last word: the connection ended, at `end`, a moment later.
pub(super) fn ended_behind_last_word(traffic: &Traffic, end: KernelNs) -> bool {
    traffic.received_since_ack.is_some_and(|size| {
        end.since(traffic.last_received) < IDLE && Spoken::to_server(traffic, size).precedes_last_word(size)
    })
}

/// Likewise where the server's `fin` is known.
pub(super) fn servers_fin_behind_last_word(traffic: &Traffic, fin: FirstFin) -> bool {
    fin.received_since_ack.is_some_and(|size| {
        fin.at.since(fin.rest_since) < IDLE && Spoken::to_server(traffic, size).precedes_last_word(size)
    })
}

/// Whether what lies unread at a server may be TLS' last word, of which it may have read the head.
pub(super) fn unread_last_word(traffic: &Traffic) -> bool {
    let size = traffic.received_since_ack.unwrap_or_default().max(traffic.unread);
    traffic.unread > 0 && Spoken::to_server(traffic, size).may_precede_last_word(size)
}

/// Whether a server closed on such a word: of an alert's size, read in part, or the answer to its own.
pub(super) fn closed_on_last_word(traffic: &Traffic) -> bool {
    let read_in_part = traffic.received_since_ack.is_some_and(|size| size > traffic.unread);
    let answers = traffic.last_received.since(traffic.last_sent) < IDLE;
    unread_last_word(traffic) && (may_be_last_word(traffic.unread) || read_in_part || answers)
}

/// Whether what a server sent last, just before `end`, may be its own last word: it crossed the unread payload, and
/// hides since when the connection rested. Once it is acknowledged only the client knows its size.
pub(super) fn servers_last_word_crossed(traffic: &Traffic, end: KernelNs) -> bool {
    may_be_last_word(traffic.unacknowledged)
        && traffic.unread > 0
        && traffic.last_payload != LastPayload::Remote
        && end.since(traffic.last_sent) < IDLE
}

/// Likewise where its client had acknowledged it, or closed at once: what the server said a moment before `at`, behind
/// TLS, need be no answer to what lies unread.
pub(super) fn servers_last_word_met(traffic: &Traffic, at: KernelNs) -> bool {
    traffic.unread > 0
        && traffic.unacknowledged == 0
        && traffic.received_since_ack.is_none_or(|size| size <= traffic.unread)
        && at.since(traffic.last_sent) < IDLE
        && !more_than_answered(traffic, Role::Server)
        && Spoken::to_server(traffic, traffic.unread).is_behind_tls(traffic.unread)
}

/// Whether this is a client's end that had not read what may be its server's last word behind TLS.
pub(super) fn holds_last_word(incident: &Incident) -> bool {
    let at_fin = incident.fin_by(Side::Remote).is_some_and(|fin| may_be_last_word(fin.unread));
    incident.role == Some(Role::Client)
        && incident.socket().is_some_and(|socket| {
            let traffic = &socket.traffic;
            (at_fin || may_be_last_word(traffic.unread)) && Spoken::by_client(traffic).is_handshake()
        })
}

/// Whether this is a server's end that was reset on, or behind, what may be TLS' last word.
pub(super) fn met_last_word(incident: &Incident) -> bool {
    incident.role == Some(Role::Server)
        && incident.socket().is_some_and(|socket| {
            closed_on_last_word(&socket.traffic)
                || ended_behind_last_word(&socket.traffic, incident.at)
                || servers_last_word_crossed(&socket.traffic, incident.at)
                || servers_last_word_met(&socket.traffic, incident.at)
        })
}

/// Whether this client's last payload, so many bytes of which were on their way at its FIN, may be its last word. Where
/// they had arrived already, how many they were is not known.
pub(super) fn closed_behind_last_word(fin: FirstFin) -> bool {
    fin.at.since(fin.rest_since) < IDLE
        && fin.unacknowledged <= LONGEST_LAST_WORD
        && Spoken::until_at_client(fin).is_handshake()
}

/// Whether this client reset the connection, at `end`, a moment after what may be its last word. Where that had
/// arrived, how long it was is not known.
pub(super) fn reset_behind_last_word(traffic: &Traffic, end: KernelNs) -> bool {
    let size = traffic.unacknowledged;
    end.since(traffic.last_sent) < IDLE
        && (size == 0 || may_be_last_word(size))
        && Spoken::by_client(traffic).is_handshake()
}

/// Whether what we sent last may only have been the answer to the peer's last word.
pub(super) fn answers_last_word(incident: &Incident, traffic: &Traffic) -> bool {
    peers_last_word(incident) != LastWord::None && may_be_last_word(traffic.unacknowledged)
}

/// What the peer said along with its FIN.
pub(super) fn peers_last_word(incident: &Incident) -> LastWord {
    incident.fin_by(Side::Remote).map_or(LastWord::None, |fin| fin.last_word)
}

/// How soon the answer to a FIN comes: one round trip later, by a process that is not kept waiting.
pub(super) fn is_prompt(delay: Duration, traffic: &Traffic) -> bool {
    delay <= Duration::from_millis(20) + traffic.srtt.unwrap_or_default()
}
