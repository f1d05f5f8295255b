//! Requests, counted on the data path while that is asked for: one probe, where applications read payload.
//!
//! Nothing is sent for a request. A read that finds something written since the one before begins a new exchange; what
//! it adds up to is kept for each server, and what a reset needs to know with the connection.

use tracer_common::{ROLE_CLIENT, ROLE_SERVER};

use crate::{
    kernel::{
        Object, Typed, clock,
        sock::{self, state},
    },
    state::{
        exchanges::{self, Exchange},
        server_ports, totals,
    },
};

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
        exchanges::remember(sk.address(), &Exchange::new(sk, role, 1, 0));
    }
}

/// The application reads.
#[inline(always)]
pub fn read(sk: Typed) {
    if !server_ports::admit(|| sock::ports(sk)) {
        return;
    }
    let now = clock::now_ns();
    let Some(exchange) = exchanges::of(sk.address()) else {
        // An older connection: what came before is unknown, and whether this begins something.
        exchanges::remember(sk.address(), &Exchange::new(sk, sock::role(sk), 0, now));
        return;
    };
    // Not so with `MSG_PEEK`, and with `splice` from a socket that has nothing.
    let copied_seq = sock::copied_seq(sk);
    if exchange.copied_seq.get() == copied_seq {
        return;
    }
    exchange.copied_seq.set(copied_seq);
    let write_seq = sock::write_seq(sk);
    // A server's first request comes before anything is written, or after a greeting.
    let first = exchange.begun.get() == 0 && exchange.server.role == ROLE_SERVER && exchange.whole != 0;
    if first || exchange.write_seq.get() != write_seq {
        exchange.write_seq.set(write_seq);
        exchange.begun.set(exchange.begun.get() + 1);
        count(sk, exchange, now);
    }
    exchange.read_ns.set(now);
}

/// Adds an exchange to its server's totals.
#[inline(always)]
fn count(sk: Typed, exchange: &Exchange, now: u64) {
    if exchange.counts != 0 {
        let reused = exchange.begun.get() > 1 || exchange.whole == 0;
        totals::count(&exchange.server, reused.then(|| idle_ns(sk, exchange, now)));
    }
}

/// For how long the connection was idle before its latest request. A server reads the request itself; a client reads
/// the response to one that it sent before.
#[inline(always)]
fn idle_ns(sk: Typed, exchange: &Exchange, now: u64) -> u64 {
    let (rested_since, request) = match exchange.server.role {
        ROLE_CLIENT => (exchange.read_ns.get(), sock::last_sent_ns(sk, now)),
        _ => (sock::last_sent_ns(sk, now).max(exchange.read_ns.get()), now),
    };
    request.saturating_sub(rested_since)
}
