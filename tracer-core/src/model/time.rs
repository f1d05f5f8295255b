//! The one clock: the kernel's monotonic nanoseconds, as `bpf_ktime_get_ns` and `CLOCK_MONOTONIC` give them.

use std::{fmt, time::Duration};

use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// A moment in nanoseconds since boot, suspend not included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelNs(pub u64);

impl KernelNs {
    /// From `earlier` to this moment; zero if `earlier` is later, as two CPUs' records may be by a hair.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Seconds from `earlier` to this moment; negative when `earlier` is later.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "exact to a nanosecond up to 104 days")]
    pub fn seconds_after(self, earlier: Self) -> f64 {
        if self >= earlier {
            self.since(earlier).as_secs_f64()
        } else {
            -(earlier.since(self).as_nanos() as f64) / 1e9
        }
    }

    /// This moment plus `duration`.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// This moment minus `duration`.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Translates kernel moments to wall-clock time. Taken anew now and then, so that a clock that was set is followed.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    boot: Duration,
}

impl WallClock {
    /// A clock on which the kernel booted `boot` after 1970: for replays and tests.
    #[must_use]
    pub fn fixed(boot: Duration) -> Self {
        Self { boot }
    }

    /// Wall-clock time of the kernel's zero, since 1970.
    #[must_use]
    pub fn boot(self) -> Duration {
        self.boot
    }

    /// The wall-clock time of a kernel moment.
    #[must_use]
    pub fn at(self, moment: KernelNs) -> WallTime {
        WallTime(self.boot + Duration::from_nanos(moment.0))
    }

    /// The same as text.
    #[must_use]
    pub fn format(self, moment: KernelNs) -> String {
        self.at(moment).to_string()
    }
}

/// A moment since 1970. Reads as RFC 3339 with milliseconds, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallTime(Duration);

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = i64::try_from(self.0.as_millis()).unwrap_or(i64::MAX);
        match Timestamp::from_millisecond(millis) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => f.write_str("unknown"),
        }
    }
}

impl Serialize for WallTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_have_a_sign_but_durations_never_go_below_zero() {
        let (early, late) = (KernelNs(1_000_000_000), KernelNs(3_500_000_000));
        assert!((late.seconds_after(early) - 2.5).abs() < 1e-9);
        assert!((early.seconds_after(late) + 2.5).abs() < 1e-9);
        assert_eq!(early.since(late), Duration::ZERO);
    }

    #[test]
    fn wall_time_has_milliseconds_and_the_zone() {
        let clock = WallClock::fixed(Duration::from_secs(1_700_000_000));
        assert_eq!(clock.format(KernelNs(1_234_567_890)), "2023-11-14T22:13:21.234Z");
    }
}
