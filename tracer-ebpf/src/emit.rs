//! The ring of records, and when its reader is woken.

use core::mem::MaybeUninit;

use aya_ebpf::{macros::map, maps::RingBuf};
use tracer_common::{Record, RecordWithLine, RequestLine, counter, map};
use zerocopy::FromBytes;

use crate::state::{
    clear,
    constants::{reads_request_lines, wake_bytes},
    counters::{count, counters},
};

/// Records for user space; its size is set at load.
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);
const _: &str = map::EVENTS;

const BPF_RB_NO_WAKEUP: u64 = 1;
const BPF_RB_FORCE_WAKEUP: u64 = 2;
const BPF_RB_AVAIL_DATA: u64 = 0;

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

/// Reserves a record, lets `fill` write it in place, and `line` the request line where lines are asked for, and submits
/// it; a full ring is counted.
#[inline(always)]
pub fn emit(
    kind: u32,
    urgency: Urgency,
    now_ns: u64,
    fill: impl FnOnce(&mut Record),
    line: impl FnOnce(&mut RequestLine),
) {
    let begun = |record: &mut Record| {
        record.kind = kind;
        record.at_ns = now_ns;
        fill(record);
    };
    if reads_request_lines() {
        write::<RecordWithLine>(kind, urgency, now_ns, |entry| {
            begun(&mut entry.record);
            line(&mut entry.request_line);
        });
    } else {
        write::<Record>(kind, urgency, now_ns, begun);
    }
}

/// Writes an entry of the ring, of integers and byte arrays only.
#[inline(always)]
fn write<Entry: FromBytes + 'static>(
    kind: u32,
    urgency: Urgency,
    now_ns: u64,
    fill: impl FnOnce(&mut Entry),
) {
    let Some(mut entry) = EVENTS.reserve::<Entry>(0) else {
        count(counter::LOST + kind as usize);
        return;
    };
    fill(zeroed(&mut entry));
    entry.submit(if wakes(urgency, now_ns) { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP });
}

#[inline(always)]
fn wakes(urgency: Urgency, now_ns: u64) -> bool {
    let filling = EVENTS.query(BPF_RB_AVAIL_DATA) > wake_bytes();
    let interval = match urgency {
        _ if filling => FULL_WAKE_INTERVAL_NS,
        Urgency::Now => WAKE_INTERVAL_NS,
        Urgency::CanWait => return false,
    };
    let Some(counters) = counters() else { return true };
    let due = now_ns.wrapping_sub(counters[counter::LAST_WAKE_NS].get()) >= interval;
    if due {
        counters[counter::LAST_WAKE_NS].set(now_ns);
    }
    due
}

/// Ring memory holds what was there before: clear it so that nothing stale reaches user space.
#[inline(always)]
fn zeroed<Entry: FromBytes>(entry: &mut MaybeUninit<Entry>) -> &mut Entry {
    // SAFETY: all zeroes is a valid value of what can be made from any bytes; it is a whole number of words.
    unsafe {
        clear(entry.as_mut_ptr());
        entry.assume_init_mut()
    }
}
