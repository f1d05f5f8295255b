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
    pub(crate) fn seconds_after(self, earlier: Self) -> f64 {
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
    pub(crate) fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// The kernel's tick, 1/HZ s: the resolution of its own last-sent and last-received times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jiffy(Duration);

impl Default for Jiffy {
    /// Of HZ = 250, which most kernels have.
    fn default() -> Self {
        Self(Duration::from_millis(4))
    }
}

impl Jiffy {
    /// A tick of 1 to 10 ms, as kernels have them (HZ from 100 to 1000); `None` for any other.
    #[must_use]
    pub fn new(length: Duration) -> Option<Self> {
        (Duration::from_millis(1)..=Duration::from_millis(10)).contains(&length).then_some(Self(length))
    }

    /// The tick of a kernel with this HZ.
    #[must_use]
    pub fn of_hz(hz: u32) -> Option<Self> {
        Self::new(Duration::from_secs(1).checked_div(hz)?)
    }

    /// How long it is.
    #[must_use]
    pub fn length(self) -> Duration {
        self.0
    }

    /// How long this many are.
    pub(crate) fn times(self, jiffies: u32) -> Duration {
        self.0 * jiffies
    }
}

/// Translates kernel moments to wall-clock time.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    boot: Duration,
}

impl WallClock {
    /// A clock on which the kernel's zero was `boot` after 1970.
    #[must_use]
    pub fn new(boot: Duration) -> Self {
        Self { boot }
    }

    /// Wall-clock time of the kernel's zero, since 1970.
    #[must_use]
    pub fn boot(self) -> Duration {
        self.boot
    }

    /// The wall-clock time of a kernel moment.
    #[must_use]
    pub(crate) fn at(self, moment: KernelNs) -> WallTime {
        WallTime(self.boot + Duration::from_nanos(moment.0))
    }

    /// The same as text.
    #[must_use]
    pub(crate) fn format(self, moment: KernelNs) -> String {
        self.at(moment).to_string()
    }
}

/// A moment since 1970. Reads as RFC 3339 with milliseconds, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WallTime(Duration);

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

/// A time as JSON shows it, in seconds.
pub(crate) fn seconds(duration: Duration) -> f64 {
    rounded(duration.as_secs_f64())
}

/// Seconds to the microsecond, which is finer than anything the kernel remembers.
pub(crate) fn rounded(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}

/// A time for people: milliseconds below a second, tenths of a second above.
pub(crate) fn spoken(time: Duration) -> String {
    if time < Duration::from_millis(1) {
        String::from("less than 1 ms")
    } else if time < Duration::from_millis(950) {
        format!("{} ms", time.as_millis())
    } else {
        let tenths = format!("{:.1}", time.as_secs_f64());
        format!("{} s", tenths.trim_end_matches(".0"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jiffy_has_the_length_of_a_kernels_tick() {
        for (hz, length) in [(100, 10_000_000), (250, 4_000_000), (300, 3_333_333), (1000, 1_000_000)] {
            let length = Duration::from_nanos(length);
            assert_eq!(Jiffy::of_hz(hz), Some(Jiffy(length)));
            assert_eq!(Jiffy::new(length), Some(Jiffy(length)));
            assert!(Jiffy(length).times(u32::MAX) > length);
        }
        assert_eq!((Jiffy::of_hz(0), Jiffy::of_hz(99), Jiffy::of_hz(1001)), (None, None, None));
        assert_eq!((Jiffy::new(Duration::ZERO), Jiffy::new(Duration::MAX)), (None, None));
    }

    #[test]
    fn differences_have_a_sign_but_durations_never_go_below_zero() {
        let (early, late) = (KernelNs(1_000_000_000), KernelNs(3_500_000_000));
        assert!((late.seconds_after(early) - 2.5).abs() < 1e-9);
        assert!((early.seconds_after(late) + 2.5).abs() < 1e-9);
        assert_eq!(early.since(late), Duration::ZERO);
    }

    #[test]
    fn a_time_is_spoken_in_the_unit_that_people_use_for_it() {
        for (microseconds, text) in [
            (0, "less than 1 ms"),
            (1_999, "1 ms"),
            (349_000, "349 ms"),
            (1_508_000, "1.5 s"),
            (5_000_000, "5 s"),
            (350_040_000, "350 s"),
        ] {
            assert_eq!(spoken(Duration::from_micros(microseconds)), text);
        }
    }

    #[test]
    fn wall_time_has_milliseconds_and_the_zone() {
        let clock = WallClock::new(Duration::from_secs(1_700_000_000));
        assert_eq!(clock.format(KernelNs(1_234_567_890)), "2023-11-14T22:13:21.234Z");
    }
}
