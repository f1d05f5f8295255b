//! What is known of where the memory of pages is.

use aya_ebpf::{macros::map, maps::Array};

/// See `pages`.
#[map]
static PAGES: Array<Pages> = Array::with_max_entries(1, 0);

/// What is known of where the memory of pages is.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Pages {
    /// Its distance; 0 until it is known.
    pub distance: u64,
    /// How often that was looked for.
    pub tries: u64,
}

/// What is known of pages.
#[inline(always)]
pub fn pages() -> Option<&'static mut Pages> {
    // SAFETY: map memory outlives the program. Two CPUs that write at once write the same distance.
    PAGES.get_ptr_mut(0).map(|pages| unsafe { &mut *pages })
}
