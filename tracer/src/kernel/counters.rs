//! What the kernel side counts by itself, so that a full ring loses no segment.

use anyhow::{Context, Result};
use aya::{
    Ebpf,
    maps::{MapData, PerCpuArray},
};
use tracer_common::{counter, map, program};

use super::{
    programs::{Loaded, RunStats},
    take_map,
};

/// The kernel side's counters.
pub struct KernelCounters(PerCpuArray<MapData, [u64; counter::COUNT]>);

/// Their values, over all CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// RST segments sent.
    pub segments_sent: u64,
    /// RST segments that ended a socket.
    pub segments_received: u64,
    /// Records that found the ring full.
    pub events_lost: u64,
}

impl Counts {
    /// Adds the calls that a program was passed over for, where each was a segment.
    pub fn add_missed(&mut self, program: &Loaded, stats: &RunStats) {
        match program.name {
            program::tcp_send_reset => self.segments_sent += stats.misses,
            program::tcp_receive_reset => self.segments_received += stats.misses,
            _ => {}
        }
    }
}

impl KernelCounters {
    /// Takes the map out of the loaded object.
    pub fn take(ebpf: &mut Ebpf) -> Result<Self> {
        Ok(Self(PerCpuArray::try_from(take_map(ebpf, map::COUNTERS)?)?))
    }

    /// Reads them.
    pub fn read(&self) -> Result<Counts> {
        let per_cpu = self.0.get(&0, 0).context("cannot read the kernel side's counters")?;
        let total = |index: usize| per_cpu.iter().map(|slots| slots[index]).sum::<u64>();
        Ok(Counts {
            segments_sent: total(counter::SEGMENTS_SENT),
            segments_received: total(counter::RECEIVES).saturating_sub(total(counter::FALSE_RECEIVES)),
            events_lost: (counter::LOST..counter::COUNT).map(total).sum(),
        })
    }
}
