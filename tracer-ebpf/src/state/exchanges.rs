//! Connections whose requests are counted.

use aya_ebpf::{macros::map, maps::LruHashMap};
use tracer_common::{ROLE_UNKNOWN, ServerKey};

use super::server_ports::is_wanted;
use crate::kernel::{Typed, sock};

/// Connections whose requests are counted, by the address of their socket; the least used make room.
#[map]
static EXCHANGES: LruHashMap<u64, Exchange> = LruHashMap::with_max_entries(1, 0);

/// What is remembered of one connection.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Exchange {
    /// When payload was last read; 0 when none was.
    pub read_ns: u64,
    /// End of what had been written then.
    pub write_seq: u32,
    /// End of what had been read.
    pub copied_seq: u32,
    /// Exchanges begun: requests read by a server, responses read by a client.
    pub begun: u32,
    /// The server, and which end this is.
    pub server: ServerKey,
    /// 1 when all of the connection was seen.
    pub whole: u32,
    /// 1 when it counts for its server.
    pub wanted: u32,
    /// Keeps the size a multiple of 8.
    pub padding: u32,
}

impl Exchange {
    /// Nothing was exchanged yet, as far as known.
    #[inline(always)]
    pub fn new(sk: Typed, role: u32, whole: u32) -> Self {
        let server = sock::server(sk, role);
        Self {
            read_ns: 0,
            write_seq: sock::write_seq(sk),
            copied_seq: sock::copied_seq(sk),
            begun: 0,
            server,
            whole,
            wanted: u32::from(role != ROLE_UNKNOWN && is_wanted(server.port)),
            padding: 0,
        }
    }
}

/// What is remembered of the connection of a socket.
#[inline(always)]
pub fn exchange(sk: u64) -> Option<&'static mut Exchange> {
    // SAFETY: map memory outlives the program. The kernel serialises one socket's reads; should the entry be taken for another
    // socket meanwhile, a count is off by one.
    EXCHANGES.get_ptr_mut(sk).map(|entry| unsafe { &mut *entry })
}

/// Remembers it. Where there is no room the connection goes uncounted, which shows in its records.
#[inline(always)]
pub fn remember(sk: u64, exchange: &Exchange) {
    let _ = EXCHANGES.insert(sk, exchange, 0);
}

/// Forgets it.
#[inline(always)]
pub fn forget(sk: u64) {
    let _ = EXCHANGES.remove(sk);
}
