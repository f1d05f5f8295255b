//! What is remembered of a connection's requests.

use tracer_common::{FLAG_PEER_FIN, FLAG_REQUESTS, ROLE_SERVER, Record};

use crate::{
    kernel::{Object, sock::state},
    state::{
        constants::counts_requests,
        exchanges::{self, Exchange},
    },
};

/// Adds what is remembered of a connection to a record of it.
#[inline(always)]
pub fn add_to(record: &mut Record, sk: impl Object) {
    if !counts_requests() {
        return;
    }
    let Some(exchange) = exchanges::of(sk.address()) else { return };
    record.read_ns = exchange.read_ns.get();
    // Payload can be taken past the probe (MPTCP, sockmap). The peer's FIN is read without it.
    let unseen = record.copied_seq.wrapping_sub(exchange.copied_seq.get());
    if exchange.whole != 0 && unseen <= u32::from(record.flags & FLAG_PEER_FIN != 0) {
        record.requests = exchange.begun.get() - u32::from(is_open(exchange, record));
        record.flags |= FLAG_REQUESTS;
    }
}

/// Whether a server has read a request and written nothing since. A FIN counts as a byte written.
#[inline(always)]
fn is_open(exchange: &Exchange, record: &Record) -> bool {
    let fin =
        matches!(record.old_state, state::FIN_WAIT1 | state::FIN_WAIT2 | state::CLOSING | state::LAST_ACK);
    let written = record.write_seq.wrapping_sub(exchange.write_seq.get());
    exchange.server.role == ROLE_SERVER && exchange.begun.get() > 0 && written <= u32::from(fin)
}
