//! The two clocks that the kernel side reads.

use aya_ebpf::helpers::{bpf_jiffies64, bpf_ktime_get_ns};

/// The clock of every record.
#[inline(always)]
pub fn now_ns() -> u64 {
    // SAFETY: no arguments, cannot fail.
    unsafe { bpf_ktime_get_ns() }
}

/// `tcp_jiffies32` (include/net/tcp.h).
#[inline(always)]
pub fn jiffies() -> u32 {
    // SAFETY: no arguments, cannot fail.
    (unsafe { bpf_jiffies64() }) as u32
}
