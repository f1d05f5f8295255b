//! The clocks of this machine, read: everything else gets times as values.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_getres, clock_gettime};
use tracer_core::model::{Jiffy, KernelNs, WallClock};

/// Now, from the clock that the kernel side stamps its records with.
#[must_use]
pub fn now() -> KernelNs {
    // CLOCK_MONOTONIC cannot fail on Linux.
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
    KernelNs(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
}

/// How kernel moments translate to the time of day now.
#[must_use]
pub fn wall_clock() -> WallClock {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallClock::new(wall.saturating_sub(Duration::from_nanos(now().0)))
}

/// The length of a jiffy: the resolution of the kernel's own last-sent and last-received times.
///
/// The coarse clocks advance once a tick (`KTIME_LOW_RES`, `kernel/time/posix-timers.c`), so their resolution
/// is 1/HZ; rounding to whole HZ takes out the kernel's rounding for HZ = 300.
#[must_use]
pub fn jiffy() -> Jiffy {
    let resolution = clock_getres(ClockId::CLOCK_MONOTONIC_COARSE).map_or(4_000_000, |r| r.tv_nsec());
    let hz = (1_000_000_000 + resolution / 2) / resolution.max(1);
    u32::try_from(hz).ok().and_then(Jiffy::of_hz).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jiffy_is_one_of_the_kernels_tick_lengths() {
        let jiffy = jiffy();
        let known = [100, 250, 300, 1000].map(|hz| Jiffy::of_hz(hz).unwrap());
        assert!(known.contains(&jiffy), "{jiffy:?}");
    }
}
