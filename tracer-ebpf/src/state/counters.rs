//! What the kernel side counts for itself.

use core::cell::Cell;

use aya_ebpf::{macros::map, maps::PerCpuArray};
use tracer_common::{counter, map};

/// See [`counter`].
#[map]
static COUNTERS: PerCpuArray<[u64; counter::COUNT]> = PerCpuArray::with_max_entries(1, 0);
const _: &str = map::COUNTERS;

/// This CPU's counters.
#[inline(always)]
pub fn counters() -> Option<&'static [Cell<u64>; counter::COUNT]> {
    // SAFETY: the slot outlives the program and belongs to this CPU, where nobody takes any other kind of reference to
    // it. The kernel does not run a program on top of itself on one CPU (`__bpf_trace_run`, kernel/trace/bpf_trace.c);
    // different ones can interrupt one another and count in different slots.
    COUNTERS.get_ptr_mut(0).map(|slot| unsafe { &*slot.cast() })
}

#[inline(always)]
pub fn count(index: usize) {
    if let Some(counters) = counters() {
        counters[index].set(counters[index].get() + 1);
    }
}
