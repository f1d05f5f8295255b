//! Everything shared with user space: the ring, the counters and what is set once at load.

use core::mem::MaybeUninit;

use aya_ebpf::{
    macros::map,
    maps::{PerCpuArray, RingBuf},
};
use tracer_common::{ABSENT, Field, Offsets, Record, counter};

/// Records for user space; its size is set at load.
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// See [`counter`].
#[map]
static COUNTERS: PerCpuArray<[u64; counter::COUNT]> = PerCpuArray::with_max_entries(1, 0);

// The three below are written by the loader and then frozen: the verifier knows their values.

/// See [`Field`].
#[unsafe(no_mangle)]
static OFFSETS: Offsets = [ABSENT; Field::COUNT];

/// 1 where `tcp_send_reset` has a third argument, the reason (6.10 and later).
#[unsafe(no_mangle)]
static HAS_REASON: u32 = 0;

/// A close after less than this many jiffies without payload is no idle close.
#[unsafe(no_mangle)]
static IDLE_JIFFIES: u32 = 0;

/// Unread bytes in the ring from which on even a record that can wait wakes the reader.
#[unsafe(no_mangle)]
static WAKE_BYTES: u64 = 0;

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
    // SAFETY: `Record` is integers and byte arrays only, for which all zeroes is a valid value.
    unsafe {
        core::ptr::write_bytes(entry.as_mut_ptr(), 0, 1);
        entry.assume_init_mut()
    }
}
