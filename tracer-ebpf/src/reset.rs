//! RST segments, sent and received.

use tracer_common::{KIND_RECEIVE_RESET, KIND_SEND_RESET, NO_REASON, counter};

use crate::{
    maps::{self, Urgency, emit, window},
    request_line, requests,
    sock::{self, Object, Typed, state},
};

/// A false receive and the passive reset that explains it happen in one run of the TCP receive path.
const SAME_RUN_NS: u64 = 1_000_000;

/// A RST ended a socket, or the kernel aborts an orphan that got data (`tcp_rcv_state_process`,
/// net/ipv4/tcp_input.c). Which of the two only shows afterwards: see [`take_back_false_receive`].
#[inline(always)]
pub fn received(sk: Typed) {
    let sk_state = sock::state_of(sk);
    let now = sock::now_ns();
    if let Some(counters) = maps::counters() {
        counters[counter::RECEIVES] += 1;
        counters[counter::LAST_RECEIVE_SK] = if may_be_orphan(sk_state) { sk.address() } else { 0 };
        counters[counter::LAST_RECEIVE_NS] = now;
    }
    emit(KIND_RECEIVE_RESET, Urgency::Now, now, |record| {
        record.reason = NO_REASON;
        record.old_state = sk_state;
        record.new_state = sk_state;
        sock::connection(record, sk);
        requests::add_to(record, sk);
        request_line::last(&mut record.request_line, window::RECEIVE_RESET, sk.address(), 0);
    });
}

/// A RST leaves: `skb` is the segment it answers (passive reset), 0 for an active reset. `sk` may be 0, a
/// time-wait mini-socket, a listener or the connection itself.
#[inline(always)]
pub fn sent(sk: u64, skb: u64, reason: u32) {
    let now = sock::now_ns();
    maps::count(counter::SEGMENTS_SENT);
    if skb != 0 && sk != 0 {
        take_back_false_receive(sk, now);
    }
    let sk_state = if sk == 0 { 0 } else { sock::state_of(sk) };
    emit(KIND_SEND_RESET, Urgency::Now, now, |record| {
        record.reason = reason;
        record.old_state = sk_state;
        record.new_state = sk_state;
        if sk == 0 {
            sock::no_socket(record, skb);
        } else if sk_state == state::TIME_WAIT {
            sock::time_wait(record, sk);
        } else if sock::is_listener(sk_state) {
            sock::listener(record, sk, skb);
        } else {
            sock::connection(record, sk);
            requests::add_to(record, sk);
        }
        if skb != 0 {
            sock::segment(record, skb);
        }
        request_line::last(&mut record.request_line, window::SEND_RESET, sk, skb);
    });
}

/// `tcp_v4_send_reset` or `tcp_v6_send_reset` was entered on a kernel whose tracepoint does not see them all:
/// up to 6.9 it is only hit `if (sk && sk_fullsock(sk))`. Here comes the rest.
#[inline(always)]
pub fn entered(sk: u64, skb: u64) {
    let traced = sk != 0 && !matches!(sock::state_of(sk), state::TIME_WAIT | state::NEW_SYN_RECV);
    if !traced && sock::is_answered(sk, skb) {
        sent(sk, skb, NO_REASON);
    }
}

/// The states in which data for an orphan makes the kernel reset it.
#[inline(always)]
fn may_be_orphan(sk_state: u8) -> bool {
    matches!(sk_state, state::FIN_WAIT1 | state::FIN_WAIT2 | state::CLOSING | state::LAST_ACK)
}

/// If this CPU has just aborted the same socket, no RST was received before: the count is taken back.
#[inline(always)]
fn take_back_false_receive(sk: u64, now: u64) {
    let Some(counters) = maps::counters() else { return };
    let follows = counters[counter::LAST_RECEIVE_SK] == sk
        && now.wrapping_sub(counters[counter::LAST_RECEIVE_NS]) < SAME_RUN_NS;
    if follows {
        counters[counter::LAST_RECEIVE_SK] = 0;
        counters[counter::FALSE_RECEIVES] += 1;
    }
}
