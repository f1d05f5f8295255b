//! Which steps of a connection's life are worth a record: as few as can explain a later reset.
//!
//! The side that closes first sends one, the other side one at most.

use tracer_common::{KIND_CLOSE, KIND_FIN};

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
        server_ports,
    },
};

/// A socket, perhaps not one of TCP, changes its state.
#[inline(always)]
pub fn state_changed(sk: u64, old: u8, new: u8) {
    // Most steps are of no interest: decide on the numbers before looking at the socket.
    let ends = matches!(new, state::FIN_WAIT1 | state::CLOSE_WAIT | state::CLOSE);
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
        state::CLOSE_WAIT if may_explain_a_reset(sk) => report::<KIND_FIN>(sk, old, new),
        state::CLOSE if resets_or_dies_silently(sk, old) => report::<KIND_CLOSE>(sk, old, new),
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
    emit(KIND, Urgency::CanWait, clock::now_ns(), |record| {
        record.old_state = old;
        record.new_state = new;
        record::connection(record, sk);
        record::requests::add_to(record, sk);
    });
}

/// The peer closed first: its FIN is of interest when this end had sent nothing for a while (an idle close, with or
/// without a last word) or when payload of ours is crossing it or still to leave (a race). Otherwise a later reset
/// finds all there is to know in the socket.
#[inline(always)]
fn may_explain_a_reset(sk: Typed) -> bool {
    sock::unfinished(sk) || sock::silent(sk, idle_jiffies())
}

/// CLOSE comes before the active reset that belongs to it, which then no longer shows the old state.
///
/// Not of interest: closes in good order, those that leave a time-wait mini-socket (the FIN told all, and the
/// mini-socket keeps its sequence numbers), and what set `sk_err`, because that reports itself.
#[inline(always)]
fn resets_or_dies_silently(sk: Typed, old: u8) -> bool {
    let abrupt = match old {
        state::ESTABLISHED | state::FIN_WAIT1 | state::CLOSE_WAIT => true,
        state::FIN_WAIT2 => sock::close_resets(sk),
        _ => false,
    };
    abrupt && !sock::has_error(sk)
}
