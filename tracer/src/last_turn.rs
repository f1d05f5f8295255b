//! When the event loop last turned: it writes that down at each turn, and others see whether it still does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tracer_core::model::KernelNs;

/// The loop turns once a second even when nothing happens: one that has not for this long stands still.
const PATIENCE: Duration = Duration::from_secs(5);

/// A moment that one writes and others read.
#[derive(Clone)]
pub(crate) struct LastTurn(Arc<AtomicU64>);

impl LastTurn {
    /// The first turn is to come.
    pub(crate) fn new(now: KernelNs) -> Self {
        Self(Arc::new(AtomicU64::new(now.0)))
    }

    /// The loop turns now.
    pub(crate) fn is(&self, now: KernelNs) {
        self.0.store(now.0, Relaxed);
    }

    /// For how long the loop has stood still, if it does.
    pub(crate) fn standstill(&self, now: KernelNs) -> Option<Duration> {
        Some(now.since(KernelNs(self.0.load(Relaxed)))).filter(|&still| still > PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_stands_still_when_it_has_not_turned_for_longer_than_five_seconds() {
        let second = |seconds: u64| KernelNs(seconds * 1_000_000_000);
        let loop_turned = LastTurn::new(second(10));
        for (now, still) in [(9, None), (10, None), (15, None), (16, Some(6)), (100, Some(90))] {
            assert_eq!(loop_turned.standstill(second(now)), still.map(Duration::from_secs), "{now} s");
        }
        loop_turned.is(second(100));
        assert_eq!(loop_turned.standstill(second(104)), None);
    }
}
