//! What was counted of each server.

use aya_ebpf::{
    macros::map,
    maps::{HashMap, PerCpuHashMap},
};
use tracer_common::{IDLE_BOUNDS_MS, RequestTotals, ServerKey};

/// What was counted of each server; bounded, the rest goes to one entry of zeroes.
#[map]
static REQUESTS: PerCpuHashMap<ServerKey, RequestTotals> = PerCpuHashMap::with_max_entries(1, 0);

/// From which idle time on, in nanoseconds, a reuse of a server's connection counts as late.
#[map]
static LATE: HashMap<ServerKey, u64> = HashMap::with_max_entries(1, 0);

/// This CPU's totals of a server; those of all others where the table is full.
#[inline(always)]
pub fn totals(server: &ServerKey) -> Option<&'static mut RequestTotals> {
    const ZERO: &RequestTotals =
        &RequestTotals { requests: 0, reuse_idle: [0; IDLE_BOUNDS_MS.len() + 1], reuse_idle_ns: 0, late: 0 };
    // SAFETY: the entry is this CPU's own and outlives the program, which does not run on top of itself.
    let get = |server: &ServerKey| REQUESTS.get_ptr_mut(server).map(|entry| unsafe { &mut *entry });
    if let Some(totals) = get(server) {
        return Some(totals);
    }
    if REQUESTS.insert(server, ZERO, 0).is_ok() {
        return get(server);
    }
    // The loader has made an entry for all others.
    get(&ServerKey { addr: [0; 16], port: 0, family: 0, role: server.role })
}

/// From which idle time on a reuse of this server's connections is late.
#[inline(always)]
pub fn late(server: &ServerKey) -> Option<u64> {
    // SAFETY: the value is replaced as a whole, and read at once.
    unsafe { LATE.get(server) }.copied()
}
