//! The server ports that are asked for.

use aya_ebpf::{macros::map, maps::Array};
use tracer_common::PORT_WORDS;

/// A bit for each server port that is asked for.
#[map]
static SERVER_PORTS: Array<u64> = Array::with_max_entries(PORT_WORDS, 0);

/// Whether servers with this port are asked for.
#[inline(always)]
pub fn is_wanted(port: u16) -> bool {
    let bits = SERVER_PORTS.get(u32::from(port) / u64::BITS);
    bits.is_some_and(|bits| bits >> (u32::from(port) % u64::BITS) & 1 != 0)
}
