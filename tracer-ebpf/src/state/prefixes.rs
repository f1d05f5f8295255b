//! Room to inspect the beginning of payload in.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use tracer_common::{Prefix, map};

use super::clear;

/// One for each [`Program`].
#[map]
static PREFIXES: PerCpuArray<Prefix> = PerCpuArray::with_max_entries(Program::COUNT, 0);
const _: &str = map::PREFIXES;

/// Those who inspect payload.
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum Program {
    SendReset,
    ReceiveReset,
    /// Both kprobes: the kernel runs none on top of another (`trace_call_bpf`, kernel/trace/bpf_trace.c).
    EnterSendReset,
    SendMessage,
}

impl Program {
    const COUNT: u32 = Self::SendMessage as u32 + 1;
}

/// A program's own room on this CPU.
pub struct Room(Program);

impl Room {
    /// # Safety
    ///
    /// To be called once in each run of `program`, and by no other. A program can interrupt another one, but not
    /// itself.
    #[inline(always)]
    pub unsafe fn of(program: Program) -> Self {
        Self(program)
    }

    /// The room, cleared.
    #[inline(always)]
    pub fn clear(&mut self) -> Option<&mut Prefix> {
        let prefix = PREFIXES.get_ptr_mut(self.0 as u32)?;
        // SAFETY: map memory outlives the program, belongs to this CPU, and to nobody but the owner of `self`; maps
        // align their values to a word.
        unsafe {
            clear(prefix);
            Some(&mut *prefix)
        }
    }
}
