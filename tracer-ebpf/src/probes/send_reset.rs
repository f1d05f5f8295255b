//! RST segments sent.

use tracer_common::{KIND_SEND_RESET, NO_REASON, Record, RequestLine, counter};

use crate::{
    emit::{Urgency, emit},
    kernel::{
        clock, skb,
        sock::{self, state},
    },
    record,
    state::{
        counters::{count, counters},
        prefixes::Room,
        server_ports,
    },
};

/// A false receive and the passive reset that explains it happen in one run of the TCP receive path.
const SAME_RUN_NS: u64 = 1_000_000;

/// A RST leaves: `skb` is the segment it answers (passive reset), 0 for an active reset. `sk` may be 0, a
/// time-wait mini-socket, a listener or the connection itself.
#[inline(always)]
pub fn sent(sk: u64, skb: u64, reason: u32, room: &mut Room) {
    let now = clock::now_ns();
    count(counter::SEGMENTS_SENT);
    if skb != 0 && sk != 0 {
        take_back_false_receive(sk, now);
    }
    // Segments are counted for the whole host. The segment that is answered knows the ports whatever the socket is.
    if !server_ports::admit(|| if skb != 0 { skb::ports(skb) } else { sock::ports(sk) }) {
        return;
    }
    let sk_state = if sk == 0 { 0 } else { sock::state_of(sk) };
    let fill = |record: &mut Record| {
        record.reason = reason;
        record.old_state = sk_state;
        record.new_state = sk_state;
        if sk == 0 {
            record::no_socket(record, skb);
        } else if sk_state == state::TIME_WAIT {
            record::time_wait(record, sk);
        } else if sock::is_listener(sk_state) {
            record::listener(record, sk, skb);
        } else {
            record::connection(record, sk);
            record::requests::add_to(record, sk);
        }
        if skb != 0 {
            record::segment(record, skb);
        }
    };
    let line = |line: &mut RequestLine| record::request_line::last(line, room, sk, skb);
    emit(KIND_SEND_RESET, Urgency::Now, now, fill, line);
}

/// `tcp_v4_send_reset` or `tcp_v6_send_reset` was entered on a kernel whose tracepoint does not see them all:
/// up to 6.9 it is only hit `if (sk && sk_fullsock(sk))`. Here comes the rest.
#[inline(always)]
pub fn entered(sk: u64, skb: u64, room: &mut Room) {
    let traced = sk != 0 && !matches!(sock::state_of(sk), state::TIME_WAIT | state::NEW_SYN_RECV);
    if !traced && skb::is_answered(sk, skb) {
        sent(sk, skb, NO_REASON, room);
    }
}

/// If this CPU has just aborted the same socket, no RST was received before: the count is taken back.
#[inline(always)]
fn take_back_false_receive(sk: u64, now: u64) {
    let Some(counters) = counters() else { return };
    let follows = counters[counter::LAST_RECEIVE_SK].get() == sk
        && now.wrapping_sub(counters[counter::LAST_RECEIVE_NS].get()) < SAME_RUN_NS;
    if follows {
        counters[counter::LAST_RECEIVE_SK].set(0);
        count(counter::FALSE_RECEIVES);
    }
}
