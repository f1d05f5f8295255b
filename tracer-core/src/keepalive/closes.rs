//! Closes of idle connections by one side.

use std::{net::SocketAddr, time::Duration};

use super::{ages::IdleAges, view::IDLE_BUCKETS};
use crate::matching::Close;

/// Closes of idle connections by one side.
#[derive(Clone, Debug)]
pub(super) struct Closes {
    /// How many.
    pub count: u64,
    /// By age, in the buckets of `tracer_idle_close_seconds`; the last one has no upper bound.
    pub buckets: [u64; IDLE_BUCKETS.len() + 1],
    /// What they have in common.
    pub ages: IdleAges,
}

impl Closes {
    /// None yet.
    #[must_use]
    pub(super) fn new(ages: IdleAges) -> Self {
        Self { count: 0, buckets: Default::default(), ages }
    }

    /// Takes the close of a connection that had been idle for so long.
    pub(super) fn add(&mut self, close: &Close, idle: Duration, client: SocketAddr) {
        self.count += 1;
        let seconds = idle.as_secs_f64();
        self.buckets[IDLE_BUCKETS.partition_point(|&bound| bound < seconds)] += 1;
        if close.was_kept() {
            self.ages.add(close.at, idle, client.ip());
        }
    }
}
