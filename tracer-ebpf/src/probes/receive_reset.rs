//! RST segments received.

use tracer_common::{KIND_RECEIVE_RESET, NO_REASON, Record, RequestLine, counter};

use crate::{
    emit::{Urgency, emit},
    kernel::{
        Object, Typed, clock,
        sock::{self, state},
    },
    record,
    state::{counters::counters, prefixes::Room, server_ports},
};

/// A RST ended a socket, or the kernel aborts an orphan that got data (`tcp_rcv_state_process`,
/// net/ipv4/tcp_input.c). Which of the two only shows afterwards: see `send_reset`.
#[inline(always)]
pub fn received(sk: Typed, room: &mut Room) {
    let sk_state = sock::state_of(sk);
    let now = clock::now_ns();
    if let Some(counters) = counters() {
        counters[counter::RECEIVES].set(counters[counter::RECEIVES].get() + 1);
        counters[counter::LAST_RECEIVE_SK].set(if may_be_orphan(sk_state) { sk.address() } else { 0 });
        counters[counter::LAST_RECEIVE_NS].set(now);
        if sk_state == state::SYN_SENT {
            counters[counter::LAST_REFUSED_SK].set(sk.address());
        }
    }
    // Segments are counted for the whole host.
    if !server_ports::admit(|| sock::ports(sk)) {
        return;
    }
    let fill = |record: &mut Record| {
        record.reason = NO_REASON;
        record.old_state = sk_state;
        record.new_state = sk_state;
        record::connection(record, sk);
        record::requests::add_to(record, sk);
    };
    let line = |line: &mut RequestLine| record::request_line::last(line, room, sk.address(), 0);
    emit(KIND_RECEIVE_RESET, Urgency::Now, now, fill, line);
}

/// The states in which data for an orphan makes the kernel reset it.
#[inline(always)]
fn may_be_orphan(sk_state: u8) -> bool {
    matches!(sk_state, state::FIN_WAIT1 | state::FIN_WAIT2 | state::CLOSING | state::LAST_ACK)
}
