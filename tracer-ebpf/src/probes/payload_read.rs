//! Requests, counted on the data path while that is asked for: one probe, where applications read payload.
//!
//! Nothing is sent for a request. A read that finds something written since the one before begins a new exchange; what it adds
//! up to is kept for each server, and what a reset needs to know with the connection.

use tracer_common::{IDLE_BOUNDS_MS, ROLE_CLIENT, ROLE_SERVER};

use crate::{
    kernel::{
        Object, Typed, clock,
        sock::{self, state},
    },
    state::{
        exchanges::{self, Exchange},
        totals,
    },
};

/// A reuse after a shorter rest is not late for any timeout: nothing below is told from a busy connection.
const LATE_FROM_NS: u64 = 40_000_000;

/// A connection is established: from here on all of it is seen.
#[inline(always)]
pub fn established(sk: Typed, old_state: u8) {
    let role = match old_state {
        state::SYN_RECV => ROLE_SERVER,
        state::SYN_SENT => ROLE_CLIENT,
        _ => return,
    };
    // TCP fast open: what was exchanged already is unknown.
    if !sock::carried_payload(sk) {
        exchanges::remember(sk.address(), &Exchange::new(sk, role, 1));
    }
}

/// The application reads.
#[inline(always)]
pub fn read(sk: Typed) {
    let now = clock::now_ns();
    let Some(exchange) = exchanges::exchange(sk.address()) else {
        // An older connection: what came before is unknown, and whether this begins something.
        exchanges::remember(sk.address(), &Exchange { read_ns: now, ..Exchange::new(sk, sock::role(sk), 0) });
        return;
    };
    // Not so with `MSG_PEEK`, and with `splice` from a socket that has nothing.
    let copied_seq = sock::copied_seq(sk);
    if exchange.copied_seq == copied_seq {
        return;
    }
    exchange.copied_seq = copied_seq;
    let write_seq = sock::write_seq(sk);
    // A server's first request comes before anything is written, or after a greeting.
    let first = exchange.begun == 0 && exchange.server.role == ROLE_SERVER && exchange.whole != 0;
    if first || exchange.write_seq != write_seq {
        exchange.write_seq = write_seq;
        exchange.begun += 1;
        count(sk, exchange, now);
    }
    exchange.read_ns = now;
}

/// Adds an exchange to its server's totals.
#[inline(always)]
fn count(sk: Typed, exchange: &Exchange, now: u64) {
    if exchange.wanted == 0 {
        return;
    }
    let Some(totals) = totals::totals(&exchange.server) else { return };
    totals.requests += 1;
    let reused = exchange.begun > 1 || exchange.whole == 0;
    if !reused {
        return;
    }
    // A server reads the request itself; a client reads the response to one that it sent before.
    let (rested_since, request) = match exchange.server.role {
        ROLE_CLIENT => (exchange.read_ns, sock::last_sent_ns(sk, now)),
        _ => (sock::last_sent_ns(sk, now).max(exchange.read_ns), now),
    };
    let idle = request.saturating_sub(rested_since);
    totals.reuse_idle[bucket(idle)] += 1;
    totals.reuse_idle_ns += idle;
    if idle >= LATE_FROM_NS && totals::late(&exchange.server).is_some_and(|late| idle >= late) {
        totals.late += 1;
    }
}

/// The bucket of `reuse_idle` that an idle time belongs to.
#[inline(always)]
fn bucket(idle_ns: u64) -> usize {
    let mut index = 0;
    while index < IDLE_BOUNDS_MS.len() && u64::from(IDLE_BOUNDS_MS[index]) * 1_000_000 < idle_ns {
        index += 1;
    }
    index
}
