//! What was counted of each server.

use aya_ebpf::{
    macros::map,
    maps::{HashMap, PerCpuHashMap},
};
use tracer_common::{IDLE_BOUNDS_MS, RequestTotals, ServerKey, map};

/// Bounded; the rest goes to one entry of zeroes for each role.
#[map]
static REQUESTS: PerCpuHashMap<ServerKey, RequestTotals> = PerCpuHashMap::with_max_entries(1, 0);
const _: &str = map::REQUESTS;

/// From which idle time on, in nanoseconds, a reuse of a server's connection counts as late.
#[map]
static LATE: HashMap<ServerKey, u64> = HashMap::with_max_entries(1, 0);
const _: &str = map::LATE;

/// A reuse after a shorter rest is not late for any timeout: nothing below is told from a busy connection.
const LATE_FROM_NS: u64 = 40_000_000;

/// Counts a request of this server; `idle_ns` is for how long its connection had been idle, if it had carried one
/// before.
#[inline(always)]
pub fn count(server: &ServerKey, idle_ns: Option<u64>) {
    let Some(totals) = entry(server) else { return };
    // SAFETY: the entry is this CPU's own and outlives the program, which does not run on top of itself and is the only
    // one that writes here: so this is the only reference.
    let totals = unsafe { &mut *totals };
    totals.requests += 1;
    let Some(idle_ns) = idle_ns else { return };
    totals.reuse_idle[bucket(idle_ns)] += 1;
    totals.reuse_idle_ns += idle_ns;
    if idle_ns >= LATE_FROM_NS && late(server).is_some_and(|late| idle_ns >= late) {
        totals.late += 1;
    }
}

/// This CPU's totals of a server; those of all others where the table is full.
#[inline(always)]
fn entry(server: &ServerKey) -> Option<*mut RequestTotals> {
    const ZERO: &RequestTotals =
        &RequestTotals { requests: 0, reuse_idle: [0; IDLE_BOUNDS_MS.len() + 1], reuse_idle_ns: 0, late: 0 };
    if let Some(totals) = REQUESTS.get_ptr_mut(server) {
        return Some(totals);
    }
    if REQUESTS.insert(server, ZERO, 0).is_ok() {
        return REQUESTS.get_ptr_mut(server);
    }
    // The loader has made an entry for all others.
    REQUESTS.get_ptr_mut(ServerKey { addr: [0; 16], port: 0, family: 0, role: server.role })
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

/// From which idle time on a reuse of this server's connections is late.
#[inline(always)]
fn late(server: &ServerKey) -> Option<u64> {
    // SAFETY: the value is replaced as a whole, and read at once.
    unsafe { LATE.get(server) }.copied()
}
