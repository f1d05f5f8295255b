//! What the loader writes before anything runs, and then freezes: the verifier knows the values and prunes what they rule out.

use tracer_common::{ABSENT, Field, Offsets};

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

#[inline(always)]
pub fn wake_bytes() -> u64 {
    constant(&WAKE_BYTES)
}
