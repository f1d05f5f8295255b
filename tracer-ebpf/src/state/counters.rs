//! What the kernel side counts for itself.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use tracer_common::counter;

/// See [`counter`].
#[map]
static COUNTERS: PerCpuArray<[u64; counter::COUNT]> = PerCpuArray::with_max_entries(1, 0);

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
