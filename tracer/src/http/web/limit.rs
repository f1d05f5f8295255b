//! The rate limit: a bucket of tokens, which gains one each interval.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use super::file::RateSection;

/// Lets so many requests through at once, and then one each interval.
pub(super) struct Limit {
    interval: Duration,
    burst: u32,
    /// When the bucket is full again.
    full_at: Mutex<Option<Instant>>,
}

impl Limit {
    /// What the section asks for; nothing where it has no interval.
    pub(super) fn new(section: &RateSection) -> Result<Option<Self>> {
        let interval = match section.interval.as_deref().unwrap_or_default() {
            "" | "0" => Duration::ZERO,
            text => text
                .parse::<jiff::SignedDuration>()
                .ok()
                .and_then(|interval| Duration::try_from(interval).ok())
                .context("the interval of rate_limit must be a duration such as 1s or 100ms")?,
        };
        if interval.is_zero() {
            return Ok(None);
        }
        let burst = section.burst.unwrap_or_default();
        ensure!(burst > 0, "rate_limit lets nothing through: burst must be 1 or more");
        Ok(Some(Self { interval, burst, full_at: Mutex::default() }))
    }

    /// Takes a token, if there is one.
    pub(super) fn allows(&self, now: Instant) -> bool {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        // In an interval beyond the end of the clock the bucket never gains one.
        let Some(next) = full_at.map_or(now, |at| at.max(now)).checked_add(self.interval) else {
            return false;
        };
        let is_there = next - now <= self.interval.saturating_mul(self.burst);
        if is_there {
            *full_at = Some(next);
        }
        is_there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(interval: &str, burst: u32) -> Result<Option<Limit>> {
        Limit::new(&RateSection { interval: Some(interval.into()), burst: Some(burst) })
    }

    #[test]
    fn a_burst_passes_and_then_one_each_interval() {
        let limit = limit("1s", 2).unwrap().unwrap();
        let began = Instant::now();
        for (ms, allowed) in [
            (0, true),
            (0, true),
            (0, false),
            (999, false),
            (1000, true),
            (1001, false),
            (60_000, true),
            (60_000, true),
            (60_000, false),
        ] {
            assert_eq!(limit.allows(began + Duration::from_millis(ms)), allowed, "{ms} ms");
        }
    }

    #[test]
    fn an_interval_longer_than_the_clock_lets_nothing_through() {
        let limit = limit(&format!("{}s", i64::MAX), 1).unwrap().unwrap();
        assert!(!limit.allows(Instant::now()));
    }

    #[test]
    fn without_an_interval_there_is_no_limit_and_one_that_lets_nothing_through_is_refused() {
        for interval in ["", "0", "0s"] {
            assert!(limit(interval, 0).unwrap().is_none(), "{interval}");
        }
        for (interval, burst) in [("soon", 1), ("-1s", 1), ("1s", 0)] {
            let sentence = limit(interval, burst).err().unwrap().to_string();
            assert!(sentence.contains("rate_limit"), "{sentence}");
        }
    }
}
