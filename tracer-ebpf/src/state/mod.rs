//! What the kernel side remembers, each map beside the type it holds, and what it was told at load.

pub mod constants;
pub mod counters;
pub mod exchanges;
pub mod pages;
pub mod request_lines;
pub mod server_ports;
pub mod totals;
pub mod windows;

/// Clears memory that is a whole number of words.
///
/// # Safety
///
/// It is valid for writes and aligned to a word, and all zeroes is a valid value.
#[inline(always)]
pub unsafe fn clear<T>(memory: *mut T) {
    let words = memory.cast::<u64>();
    for word in 0..size_of::<T>() / size_of::<u64>() {
        // SAFETY: as the caller promises. Volatile, or the compiler would call its own `memset`, which goes byte by byte.
        unsafe { words.add(word).write_volatile(0) };
    }
}
