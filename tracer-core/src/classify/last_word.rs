//! What a client says behind TLS that is no request: its last word, and what cannot be told from one.

use std::time::Duration;

use super::spoken::{LONGEST_LAST_WORD, Spoken};
use crate::{
    matching::{FirstFin, IDLE, Incident, LastWord, may_be_last_word},
    model::{KernelNs, LastPayload, Role, Side, Traffic},
};

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
    let (from_client, from_server) = traffic.segments(Role::Server);
    // The client's alert may lie behind its request.
    let at_most = from_server.saturating_add(2);
    traffic.unread > 0
        && traffic.unacknowledged == 0
        && traffic.received_since_ack.is_none_or(|size| size <= traffic.unread)
        && at.since(traffic.last_sent) < IDLE
        && from_client <= at_most
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
