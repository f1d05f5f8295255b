//! Which steps of a connection's life are worth a record: as few as can explain a later reset, and those that leave a
//! request without an answer.
//!
//! The side that closes first sends one, the other side one at most; one more follows where a request is open.

use tracer_common::{KIND_CLOSE, KIND_FIN, Record, RequestLine, counter};

use super::payload_read;
use crate::{
    emit::{Urgency, emit},
    kernel::{
        Object, Typed, clock, pages,
        sock::{self, state},
    },
    record,
    state::{
        constants::{counts_requests, idle_jiffies, reads_request_lines},
        counters::counters,
        server_ports,
    },
};

/// A socket, perhaps not one of TCP, changes its state.
#[inline(always)]
pub fn state_changed(sk: u64, old: u8, new: u8) {
    // Most steps are of no interest: decide on the numbers before looking at the socket.
    // `close()` behind `shutdown()` steps from FIN_WAIT1 to FIN_WAIT1 (`tcp_close_state`, net/ipv4/tcp.c).
    let ends = matches!(new, state::FIN_WAIT1 | state::CLOSE_WAIT | state::CLOSE) && old != new;
    let begins = new == state::ESTABLISHED && (counts_requests() || reads_request_lines());
    if !ends && !begins {
        return;
    }
    let Some(sk) = Typed::tcp_sock(sk) else { return };
    if !server_ports::admit(|| sock::ports(sk)) {
        return;
    }
    match new {
        state::ESTABLISHED => established(sk, old),
        state::FIN_WAIT1 => report::<KIND_FIN>(sk, old, new),
        state::CLOSE_WAIT if may_explain_a_reset(sk) || sock::request_open(sk, 0) => {
            report::<KIND_FIN>(sk, old, new);
        }
        state::CLOSE if is_of_interest(sk, old) => report::<KIND_CLOSE>(sk, old, new),
        _ => {}
    }
}

#[inline(always)]
fn established(sk: Typed, old: u8) {
    if counts_requests() {
        payload_read::established(sk, old);
    }
    if reads_request_lines() {
        pages::learn(sk.address());
    }
}

#[inline(always)]
fn report<const KIND: u32>(sk: Typed, old: u8, new: u8) {
    let fill = |record: &mut Record| {
        record.old_state = old;
        record.new_state = new;
        record::connection(record, sk);
        if old == state::SYN_SENT && record.error == 0 {
            record.error = sock::connect_error(sk);
        }
        record::requests::add_to(record, sk);
    };
    let line = |line: &mut RequestLine| record::request_line::remembered(line, sk.address());
    emit(KIND, Urgency::CanWait, clock::now_ns(), fill, line);
}

/// The peer closed first: its FIN is of interest when this end had sent nothing for a while (an idle close, with or
/// without a last word) or when payload of ours is crossing it or still to leave (a race). Otherwise a later reset
/// finds all there is to know in the socket.
#[inline(always)]
fn may_explain_a_reset(sk: Typed) -> bool {
    sock::unfinished(sk) || sock::silent(sk, idle_jiffies())
}

/// The step to CLOSE: it comes before the active reset that belongs to it, which then no longer shows the old state; or
/// it is the end of a connection whose request was never answered, or of one that never came to be.
///
/// Not of interest: listeners, closes in good order, those that leave a time-wait mini-socket (the FIN told all, and
/// the mini-socket keeps its sequence numbers), and what a RST or `tcp_abort` ended, because that reports itself.
#[inline(always)]
fn is_of_interest(sk: Typed, old: u8) -> bool {
    const ECONNABORTED: u32 = 103;
    const ECONNRESET: u32 = 104;
    const EPIPE: u32 = 32;
    const ECONNREFUSED: u32 = 111;
    match (old, sock::error(sk)) {
        (state::LISTEN, _) | (_, ECONNABORTED | ECONNRESET | EPIPE) => false,
        (state::SYN_SENT, ECONNREFUSED) => !refused_by_rst(sk),
        // Given up: one of two parallel attempts that lost is not worth a word, one that heard nothing, or of an
        // error, is.
        (state::SYN_SENT, 0) => sock::sent_again(sk) || sock::connect_error(sk) != 0,
        (state::SYN_SENT, _) => true,
        (state::ESTABLISHED | state::FIN_WAIT1 | state::CLOSE_WAIT, 0) => true,
        // These have got the acknowledgment of their FIN.
        (state::FIN_WAIT2, 0) => sock::close_resets(sk) || sock::request_open(sk, 1),
        (state::CLOSING | state::LAST_ACK, 0) => sock::request_open(sk, 1),
        // Opened fast, with payload already.
        (state::SYN_RECV, error) => error == 0 && sock::carried_payload(sk),
        (_, _) => true,
    }
}

/// Whether a RST has just answered this socket's SYN.
#[inline(always)]
fn refused_by_rst(sk: Typed) -> bool {
    counters().is_some_and(|counters| counters[counter::LAST_REFUSED_SK].get() == sk.address())
}
