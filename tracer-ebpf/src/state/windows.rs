//! Room to look at payload in.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use tracer_common::Window;

use super::clear;

/// Room to look at payload in, for each program that does: see [`window`].
#[map]
static WINDOWS: PerCpuArray<Window> = PerCpuArray::with_max_entries(window::COUNT, 0);

/// Which [`Window`] is whose: a program can interrupt another one, but not itself.
pub mod window {
    pub const SEND_RESET: u32 = 0;
    pub const RECEIVE_RESET: u32 = 1;
    pub const SENDING: u32 = 2;
    pub const COUNT: u32 = 3;
}

/// A program's window on this CPU, cleared.
#[inline(always)]
pub fn window(of: u32) -> Option<&'static mut Window> {
    let window = WINDOWS.get_ptr_mut(of)?;
    // SAFETY: as in [`counters`], and each program has its own; maps align their values to a word.
    unsafe {
        clear(window);
        Some(&mut *window)
    }
}
