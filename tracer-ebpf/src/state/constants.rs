//! What the loader writes before anything runs, and then freezes: the verifier knows the values and prunes what they
//! rule out.

use tracer_common::{ABSENT, Field, Offsets, ROWS, constant};

/// Declares constants, under the names by which user space finds them.
macro_rules! constants {
    ($($(#[$about:meta])* $name:ident: $kind:ty = $unset:expr;)*) => {$(
        $(#[$about])*
        #[unsafe(no_mangle)]
        static $name: $kind = $unset;
        const _: &str = constant::$name;
    )*};
}

constants! {
    /// See [`Field`].
    OFFSETS: Offsets = [ABSENT; ROWS.len()];
    /// 1 where `tcp_send_reset` has a third argument, the reason (6.10 and later).
    HAS_REASON: u32 = 0;
    /// A close after less than this many jiffies without payload is no idle close.
    IDLE_JIFFIES: u32 = 0;
    /// The length of a jiffy in nanoseconds.
    JIFFY_NS: u64 = 0;
    /// 1 where requests are counted.
    COUNTS_REQUESTS: u32 = 0;
    /// 1 where request lines are read.
    READS_REQUEST_LINES: u32 = 0;
    /// 1 where only connections with certain server ports are reported.
    FILTERS_PORTS: u32 = 0;
    /// How many times as large as its `struct page` a page is; 0 where that is unknown.
    PAGE_RATIO: u64 = 0;
    /// The running kernel's `ITER_UBUF` (`enum iter_type`, include/linux/uio.h).
    ITER_UBUF: u32 = u32::MAX;
    /// Its `ITER_IOVEC`.
    ITER_IOVEC: u32 = u32::MAX;
    /// Unread bytes in the ring from which on even a record that can wait wakes the reader.
    WAKE_BYTES: u64 = 0;
}

#[inline(always)]
fn load<T: Copy>(value: &'static T) -> T {
    // SAFETY: a reference is valid for reads. Volatile, because the loader writes the value after compilation.
    unsafe { core::ptr::read_volatile(value) }
}

/// Offset of `field` on this kernel, [`ABSENT`] if it has none.
#[inline(always)]
pub fn offset<T>(field: Field<T>) -> u32 {
    load(&OFFSETS[field.index()])
}

#[inline(always)]
pub fn has_reason() -> bool {
    load(&HAS_REASON) != 0
}

#[inline(always)]
pub fn idle_jiffies() -> u32 {
    load(&IDLE_JIFFIES)
}

#[inline(always)]
pub fn jiffy_ns() -> u64 {
    load(&JIFFY_NS)
}

#[inline(always)]
pub fn counts_requests() -> bool {
    load(&COUNTS_REQUESTS) != 0
}

#[inline(always)]
pub fn reads_request_lines() -> bool {
    load(&READS_REQUEST_LINES) != 0
}

#[inline(always)]
pub fn filters_ports() -> bool {
    load(&FILTERS_PORTS) != 0
}

#[inline(always)]
pub fn page_ratio() -> u64 {
    load(&PAGE_RATIO)
}

#[inline(always)]
pub fn iter_ubuf() -> u32 {
    load(&ITER_UBUF)
}

#[inline(always)]
pub fn iter_iovec() -> u32 {
    load(&ITER_IOVEC)
}

#[inline(always)]
pub fn wake_bytes() -> u64 {
    load(&WAKE_BYTES)
}
