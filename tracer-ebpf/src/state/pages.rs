//! What is known of where the memory of pages is.

use aya_ebpf::{macros::map, maps::Array};
use tracer_common::map;

use super::Shared;

/// See [`crate::kernel::pages`].
#[map]
static PAGES: Array<Pages> = Array::with_max_entries(1, 0);
const _: &str = map::PAGES;

/// What is known. Two CPUs that write at once write the same distance.
#[repr(C)]
pub struct Pages {
    /// How far their memory is from theirs; 0 until it is known.
    pub distance: Shared<u64>,
    /// How often that was looked for.
    pub tries: Shared<u64>,
}

#[inline(always)]
pub fn pages() -> Option<&'static Pages> {
    PAGES.get(0)
}
