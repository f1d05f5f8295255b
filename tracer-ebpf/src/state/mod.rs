//! What the kernel side remembers, each map beside the type it holds, and what it was told at load.

pub mod constants;
pub mod counters;
pub mod exchanges;
pub mod pages;
pub mod prefixes;
pub mod request_lines;
pub mod server_ports;
pub mod totals;

use core::cell::UnsafeCell;

/// A value in the memory of a map, which other programs may write at any time: nobody gets a reference to it, only
/// copies.
#[repr(transparent)]
pub struct Shared<T>(UnsafeCell<T>);

// SAFETY: it is read and written as a copy only. Maps hold integers, of which any mix is a valid value.
unsafe impl<T: Copy> Sync for Shared<T> {}

impl<T: Copy> Shared<T> {
    #[inline(always)]
    pub fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    #[inline(always)]
    pub fn get(&self) -> T {
        // SAFETY: the pointer is that of a value, and no reference to it exists.
        unsafe { self.0.get().read() }
    }

    #[inline(always)]
    pub fn set(&self, value: T) {
        // SAFETY: as in [`Self::get`].
        unsafe { self.0.get().write(value) }
    }
}

/// Clears memory that is a whole number of words.
///
/// # Safety
///
/// It is valid for writes and aligned to a word, and all zeroes is a valid value.
#[inline(always)]
pub unsafe fn clear<T>(memory: *mut T) {
    let words = memory.cast::<u64>();
    for word in 0..size_of::<T>() / size_of::<u64>() {
        // SAFETY: as the caller promises. Volatile, or the compiler would call its own `memset`, which goes byte by
        // byte.
        unsafe { words.add(word).write_volatile(0) };
    }
}
