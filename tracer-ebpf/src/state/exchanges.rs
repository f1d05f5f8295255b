//! Connections whose requests are counted.

use aya_ebpf::{macros::map, maps::LruHashMap};
use tracer_common::{ROLE_UNKNOWN, ServerKey, map};

use super::{Shared, server_ports};
use crate::kernel::{Typed, sock};

/// By the address of their socket; the least used make room.
#[map]
static EXCHANGES: LruHashMap<u64, Exchange> = LruHashMap::with_max_entries(1, 0);
const _: &str = map::EXCHANGES;

/// What is remembered of one connection.
#[repr(C)]
pub struct Exchange {
    /// When payload was last read; 0 when none was.
    pub read_ns: Shared<u64>,
    /// End of what had been written then.
    pub write_seq: Shared<u32>,
    /// End of what had been read.
    pub copied_seq: Shared<u32>,
    /// Exchanges begun: requests read by a server, responses read by a client.
    pub begun: Shared<u32>,
    /// The server, and which end this is.
    pub server: ServerKey,
    /// 1 when all of the connection was seen.
    pub whole: u32,
    /// 1 when it counts for its server.
    pub counts: u32,
    /// Keeps the size a multiple of 8.
    padding: u32,
}

impl Exchange {
    /// Nothing was exchanged yet, as far as known.
    #[inline(always)]
    pub fn new(sk: Typed, role: u32, whole: u32, read_ns: u64) -> Self {
        let server = sock::server(sk, role);
        Self {
            read_ns: Shared::new(read_ns),
            write_seq: Shared::new(sock::write_seq(sk)),
            copied_seq: Shared::new(sock::copied_seq(sk)),
            begun: Shared::new(0),
            server,
            whole,
            counts: u32::from(role != ROLE_UNKNOWN && server_ports::is_listed(server.port)),
            padding: 0,
        }
    }
}

/// What is remembered of the connection of a socket.
#[inline(always)]
pub fn of(sk: u64) -> Option<&'static Exchange> {
    // SAFETY: map memory outlives the program, and what changes in it is [`Shared`]. The kernel serialises one socket's
    // reads; should the entry be taken for another socket meanwhile, a count is off by one.
    unsafe { EXCHANGES.get(sk) }
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
