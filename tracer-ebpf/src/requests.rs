//! Requests, counted on the data path while that is asked for: one probe, where applications read payload.
//!
//! Nothing is sent for a request. A read that finds something written since the one before begins a new exchange; what it adds
//! up to is kept for each server, and what a reset needs to know with the connection.

use tracer_common::{
    FLAG_PEER_FIN, FLAG_REQUESTS, IDLE_BOUNDS_MS, ROLE_CLIENT, ROLE_SERVER, ROLE_UNKNOWN, Record, ServerKey,
};

use crate::{
    maps,
    sock::{self, Object, Typed, state},
};

/// What is remembered of one connection.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Exchange {
    /// When payload was last read; 0 when none was.
    read_ns: u64,
    /// End of what had been written then.
    write_seq: u32,
    /// End of what had been read.
    copied_seq: u32,
    /// Exchanges begun: requests read by a server, responses read by a client.
    begun: u32,
    /// The server, and which end this is.
    server: ServerKey,
    /// 1 when all of the connection was seen.
    whole: u32,
    /// 1 when it counts for its server.
    wanted: u32,
    /// Keeps the size a multiple of 8.
    padding: u32,
}

impl Exchange {
    /// Nothing was exchanged yet, as far as known.
    #[inline(always)]
    fn new(sk: Typed, role: u32, whole: u32) -> Self {
        let server = sock::server(sk, role);
        Self {
            read_ns: 0,
            write_seq: sock::write_seq(sk),
            copied_seq: sock::copied_seq(sk),
            begun: 0,
            server,
            whole,
            wanted: u32::from(role != ROLE_UNKNOWN && maps::is_wanted(server.port)),
            padding: 0,
        }
    }
}

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
        maps::remember(sk.address(), &Exchange::new(sk, role, 1));
    }
}

/// A socket is destroyed: another connection may get its address.
#[inline(always)]
pub fn destroyed(sk: u64) {
    if maps::with_requests() {
        maps::forget(sk);
    }
}

/// The application reads.
#[inline(always)]
pub fn read(sk: Typed) {
    let now = sock::now_ns();
    let Some(exchange) = maps::exchange(sk.address()) else {
        // An older connection: what came before is unknown, and whether this begins something.
        maps::remember(sk.address(), &Exchange { read_ns: now, ..Exchange::new(sk, sock::role(sk), 0) });
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
    let Some(totals) = maps::totals(&exchange.server) else { return };
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
    if idle >= LATE_FROM_NS && maps::late(&exchange.server).is_some_and(|late| idle >= late) {
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

/// Adds what is remembered of a connection to a record of it.
#[inline(always)]
pub fn add_to(record: &mut Record, sk: impl Object) {
    if !maps::with_requests() {
        return;
    }
    let Some(exchange) = maps::exchange(sk.address()) else { return };
    record.read_ns = exchange.read_ns;
    // Payload can be taken past the probe (MPTCP, sockmap). The peer's FIN is read without it.
    let unseen = record.copied_seq.wrapping_sub(exchange.copied_seq);
    if exchange.whole != 0 && unseen <= u32::from(record.flags & FLAG_PEER_FIN != 0) {
        record.requests = exchange.begun - u32::from(is_open(exchange, record));
        record.flags |= FLAG_REQUESTS;
    }
}

/// Whether a server has read a request and written nothing since. A FIN counts as a byte written.
#[inline(always)]
fn is_open(exchange: &Exchange, record: &Record) -> bool {
    let fin =
        matches!(record.old_state, state::FIN_WAIT1 | state::FIN_WAIT2 | state::CLOSING | state::LAST_ACK);
    let written = record.write_seq.wrapping_sub(exchange.write_seq);
    exchange.server.role == ROLE_SERVER && exchange.begun > 0 && written <= u32::from(fin)
}
