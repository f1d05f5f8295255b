//! The ring buffer between the kernel side and us.

use std::io;

use anyhow::{Context, Result};
use aya::maps::{MapData, RingBuf};
use tokio::io::{Interest, unix::AsyncFd};

/// Records of the kernel side, in the order in which they were reserved.
pub struct Ring(AsyncFd<RingBuf<MapData>>);

impl Ring {
    /// Opens the map of the loaded object; needs a running tokio reactor.
    pub fn open(ring: RingBuf<MapData>) -> Result<Self> {
        #[expect(
            deprecated,
            reason = "its successor is unsafe; a ring buffer map keeps its descriptor for life"
        )]
        let fd =
            AsyncFd::with_interest(ring, Interest::READABLE).context("cannot wait for the ring buffer")?;
        Ok(Self(fd))
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
