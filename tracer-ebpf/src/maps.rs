//! Everything shared with user space: the ring, the counters and what is set once at load.

use core::mem::MaybeUninit;

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, PerCpuHashMap, RingBuf},
};
use tracer_common::{
    ABSENT, Field, IDLE_BOUNDS_MS, Offsets, PORT_WORDS, Record, RequestLine, RequestTotals, ServerKey,
    Window, counter,
};

use crate::requests::Exchange;

/// Records for user space; its size is set at load.
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// See [`counter`].
#[map]
static COUNTERS: PerCpuArray<[u64; counter::COUNT]> = PerCpuArray::with_max_entries(1, 0);

/// Connections whose requests are counted, by the address of their socket; the least used make room.
#[map]
static EXCHANGES: LruHashMap<u64, Exchange> = LruHashMap::with_max_entries(1, 0);

/// What was counted of each server; bounded, the rest goes to one entry of zeroes.
#[map]
static REQUESTS: PerCpuHashMap<ServerKey, RequestTotals> = PerCpuHashMap::with_max_entries(1, 0);

/// From which idle time on, in nanoseconds, a reuse of a server's connection counts as late.
#[map]
static LATE: HashMap<ServerKey, u64> = HashMap::with_max_entries(1, 0);

/// The last request line that each client of this host sent, by the address of its socket; the least used make room.
#[map]
static SENT: LruHashMap<u64, Sent> = LruHashMap::with_max_entries(1, 0);

/// Room to look at payload in, for each program that does: see [`window`].
#[map]
static WINDOWS: PerCpuArray<Window> = PerCpuArray::with_max_entries(window::COUNT, 0);

/// See `pages`.
#[map]
static PAGES: Array<Pages> = Array::with_max_entries(1, 0);

/// A bit for each server port that is asked for.
#[map]
static SERVER_PORTS: Array<u64> = Array::with_max_entries(PORT_WORDS, 0);

// Those below are written by the loader and then frozen: the verifier knows their values.

/// See [`Field`].
#[unsafe(no_mangle)]
static OFFSETS: Offsets = [ABSENT; Field::COUNT];

/// 1 where `tcp_send_reset` has a third argument, the reason (6.10 and later).
#[unsafe(no_mangle)]
static HAS_REASON: u32 = 0;

/// A close after less than this many jiffies without payload is no idle close.
#[unsafe(no_mangle)]
static IDLE_JIFFIES: u32 = 0;

/// The length of a jiffy in nanoseconds.
#[unsafe(no_mangle)]
static JIFFY_NS: u64 = 0;

/// 1 where requests are counted.
#[unsafe(no_mangle)]
static WITH_REQUESTS: u32 = 0;

/// 1 where request lines are asked for.
#[unsafe(no_mangle)]
static WITH_REQUEST_LINES: u32 = 0;

/// How many times as large as its `struct page` a page is; 0 where that is unknown.
#[unsafe(no_mangle)]
static PAGE_RATIO: u64 = 0;

/// The running kernel's `ITER_UBUF` and `ITER_IOVEC` (`enum iter_type`, include/linux/uio.h).
#[unsafe(no_mangle)]
static ITER_UBUF: u32 = u32::MAX;
#[unsafe(no_mangle)]
static ITER_IOVEC: u32 = u32::MAX;

/// Unread bytes in the ring from which on even a record that can wait wakes the reader.
#[unsafe(no_mangle)]
static WAKE_BYTES: u64 = 0;

/// Which [`Window`] is whose: a program can interrupt another one, but not itself.
pub mod window {
    pub const SEND_RESET: u32 = 0;
    pub const RECEIVE_RESET: u32 = 1;
    pub const SENDING: u32 = 2;
    pub const COUNT: u32 = 3;
}

/// What a client sent last.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Sent {
    /// The request line.
    pub line: RequestLine,
    /// Next sequence number that was expected from the server then.
    pub rcv_nxt: u32,
    /// Keeps the size a multiple of 8.
    pub padding: u32,
}

/// What is known of where the memory of pages is.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Pages {
    /// Its distance; 0 until it is known.
    pub distance: u64,
    /// How often that was looked for.
    pub tries: u64,
}

const BPF_RB_NO_WAKEUP: u64 = 1;
const BPF_RB_FORCE_WAKEUP: u64 = 2;
const BPF_RB_AVAIL_DATA: u64 = 0;

#[inline(always)]
fn constant<T: Copy>(value: &'static T) -> T {
    // SAFETY: a reference is valid for reads. Volatile, because the loader writes the value after compilation.
    unsafe { core::ptr::read_volatile(value) }
}

/// Offset of `field` on this kernel, [`ABSENT`] if it has none.
#[inline(always)]
pub fn offset(field: Field) -> u32 {
    constant(&OFFSETS[field as usize])
}

#[inline(always)]
pub fn has_reason() -> bool {
    constant(&HAS_REASON) != 0
}

#[inline(always)]
pub fn idle_jiffies() -> u32 {
    constant(&IDLE_JIFFIES)
}

#[inline(always)]
pub fn jiffy_ns() -> u64 {
    constant(&JIFFY_NS)
}

#[inline(always)]
pub fn with_requests() -> bool {
    constant(&WITH_REQUESTS) != 0
}

#[inline(always)]
pub fn with_request_lines() -> bool {
    constant(&WITH_REQUEST_LINES) != 0
}

#[inline(always)]
pub fn page_ratio() -> u64 {
    constant(&PAGE_RATIO)
}

#[inline(always)]
pub fn iter_ubuf() -> u32 {
    constant(&ITER_UBUF)
}

#[inline(always)]
pub fn iter_iovec() -> u32 {
    constant(&ITER_IOVEC)
}

/// This CPU's counters.
#[inline(always)]
pub fn counters() -> Option<&'static mut [u64; counter::COUNT]> {
    // SAFETY: the slot belongs to this CPU and outlives the program. The kernel does not run a program on top
    // of itself on one CPU (`__bpf_trace_run`, kernel/trace/bpf_trace.c); different ones can interrupt one
    // another and count in different slots.
    COUNTERS.get_ptr_mut(0).map(|slot| unsafe { &mut *slot })
}

#[inline(always)]
pub fn count(index: usize) {
    if let Some(counters) = counters() {
        counters[index] += 1;
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

/// What the client with this socket sent last.
#[inline(always)]
pub fn sent(sk: u64) -> Option<&'static mut Sent> {
    // SAFETY: map memory outlives the program. The kernel serialises what is sent on one socket; should the entry be taken for another
    // one meanwhile, a line is mixed from two.
    SENT.get_ptr_mut(sk).map(|entry| unsafe { &mut *entry })
}

/// Remembers it; where there is no room it stays unknown.
#[inline(always)]
pub fn remember_sent(sk: u64, sent: &Sent) {
    let _ = SENT.insert(sk, sent, 0);
}

/// Forgets it.
#[inline(always)]
pub fn forget_sent(sk: u64) {
    let _ = SENT.remove(sk);
}

/// A program's window on this CPU, cleared.
#[inline(always)]
pub fn window(of: u32) -> Option<&'static mut Window> {
    let window = WINDOWS.get_ptr_mut(of)?;
    // SAFETY: as in [`counters`], and each program has its own; maps align their values to a word.
    unsafe {
        clear(window);
        Some(&mut *window)
    }
}

/// What is known of pages.
#[inline(always)]
pub fn pages() -> Option<&'static mut Pages> {
    // SAFETY: map memory outlives the program. Two CPUs that write at once write the same distance.
    PAGES.get_ptr_mut(0).map(|pages| unsafe { &mut *pages })
}

/// Whether servers with this port are asked for.
#[inline(always)]
pub fn is_wanted(port: u16) -> bool {
    let bits = SERVER_PORTS.get(u32::from(port) / u64::BITS);
    bits.is_some_and(|bits| bits >> (u32::from(port) % u64::BITS) & 1 != 0)
}

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

/// How soon user space needs a record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// Wake the reader, unless it was just woken: it looks again by itself soon after each wake-up.
    Now,
    /// It is enough to read it together with the next urgent one, or when the ring fills.
    CanWait,
}

/// A wake-up costs more than all else here, so each CPU gives one in this time at most. The reader looks again
/// 100 ms after it found something.
const WAKE_INTERVAL_NS: u64 = 50_000_000;

/// Likewise, while the ring is filling.
const FULL_WAKE_INTERVAL_NS: u64 = 1_000_000;

/// Reserves a record, lets `fill` write it in place and submits it; a full ring is counted.
#[inline(always)]
pub fn emit(kind: u32, urgency: Urgency, now_ns: u64, fill: impl FnOnce(&mut Record)) {
    let Some(mut entry) = EVENTS.reserve::<Record>(0) else {
        count(counter::LOST + kind as usize);
        return;
    };
    let record = zeroed(&mut entry);
    record.kind = kind;
    record.at_ns = now_ns;
    fill(record);
    entry.submit(if wakes(urgency, now_ns) { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP });
}

#[inline(always)]
fn wakes(urgency: Urgency, now_ns: u64) -> bool {
    let filling = EVENTS.query(BPF_RB_AVAIL_DATA) > constant(&WAKE_BYTES);
    let interval = match urgency {
        _ if filling => FULL_WAKE_INTERVAL_NS,
        Urgency::Now => WAKE_INTERVAL_NS,
        Urgency::CanWait => return false,
    };
    let Some(counters) = counters() else { return true };
    let due = now_ns.wrapping_sub(counters[counter::LAST_WAKE_NS]) >= interval;
    if due {
        counters[counter::LAST_WAKE_NS] = now_ns;
    }
    due
}

/// Ring memory holds what was there before: clear it so that nothing stale reaches user space.
#[inline(always)]
fn zeroed(entry: &mut MaybeUninit<Record>) -> &mut Record {
    // SAFETY: the entry is a `Record`, which is integers and byte arrays only: all zeroes is a valid value.
    unsafe {
        clear(entry.as_mut_ptr());
        entry.assume_init_mut()
    }
}

/// Clears memory that is a whole number of words.
///
/// # Safety
///
/// It is valid for writes and aligned to a word, and all zeroes is a valid value.
#[inline(always)]
unsafe fn clear<T>(memory: *mut T) {
    let words = memory.cast::<u64>();
    for word in 0..size_of::<T>() / size_of::<u64>() {
        // SAFETY: as the caller promises. Volatile, or the compiler would call its own `memset`, which goes byte by byte.
        unsafe { words.add(word).write_volatile(0) };
    }
}
