//! The ring buffer between the kernel side and us.

use std::io;

use anyhow::{Context, Result};
use aya::{
    Ebpf,
    maps::{MapData, RingBuf},
};
use tokio::io::{Interest, unix::AsyncFd};
use tracer_common::map;

use crate::kernel::take_map;

/// Records of the kernel side, in the order in which they were reserved.
pub struct Ring(AsyncFd<RingBuf<MapData>>);

impl Ring {
    /// Takes the ring out of the loaded object; needs a running tokio reactor.
    pub fn open(ring: RingBuf<MapData>) -> Result<Self> {
        #[expect(
            deprecated,
            reason = "its successor is unsafe; a ring buffer map keeps its descriptor for life"
        )]
        let fd =
            AsyncFd::with_interest(ring, Interest::READABLE).context("cannot wait for the ring buffer")?;
        Ok(Self(fd))
    }

    /// The map, before there is a reactor.
    pub fn take(ebpf: &mut Ebpf) -> Result<RingBuf<MapData>> {
        Ok(RingBuf::try_from(take_map(ebpf, map::EVENTS)?)?)
    }

    /// Waits until the kernel side asks for attention.
    pub async fn woken(&mut self) -> io::Result<()> {
        self.0.readable_mut().await?.clear_ready();
        Ok(())
    }

    /// Passes up to `limit` records to `take`; returns how many.
    pub fn drain(&mut self, limit: usize, mut take: impl FnMut(&[u8])) -> usize {
        let ring = self.0.get_mut();
        for taken in 0..limit {
            match ring.next() {
                Some(record) => take(&record),
                None => return taken,
            }
        }
        limit
    }
}
