//! How much both sides have said, and what it may have been: a TLS handshake, a last word, requests of one length.

use std::time::Duration;

use crate::{
    matching::{FirstFin, IDLE, LastWord, may_be_last_word},
    model::Traffic,
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

/// Whether so many bytes of a client's may be the end of a handshake: it is shorter than most requests.
pub(super) fn ends_handshake(size: u32) -> bool {
    size <= LONGEST_END
}

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
    pub(super) fn by_server(traffic: &Traffic) -> Self {
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

    /// Whether it may be no more than a TLS handshake: a hello, what ends the handshake, perhaps an alert.
    ///
    /// That end came after a `rest`, and the connection was closed after `waited`. The last `size` bytes, where that is
    /// known, are no second request about as long as the first.
    pub(super) fn is_handshake_alone(self, size: Option<u32>, rest: Duration, waited: Duration) -> bool {
        let behind_hello = self.segments.0.saturating_sub(1);
        let long_hello = self.bytes.0 >= LONG_HELLO;
        let is_short = size.is_some_and(ends_handshake);
        let with_alert = if size.is_none() { waited < IDLE } else { is_short };
        self.bytes.0 >= HELLO
            && self.bytes.1 >= RESUMED
            && rest < if is_short { HELD_UP } else { IDLE }
            && waited < HELD_UP
            && !size.is_some_and(|size| self.is_alike(size))
            && match behind_hello {
                1 => true,
                2 => with_alert || long_hello,
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
    pub(super) fn precedes_last_word(self, size: u32) -> bool {
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
