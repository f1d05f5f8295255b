//! Infers an idle timeout from the ages at which idle connections are closed.
//!
//! A timeout shows as many closes at one age and at many moments. A reload or a stop shows as many closes at one
//! moment and at many ages; so what closes together counts as one close, and as none if the ages differ.

use std::{collections::VecDeque, time::Duration};

use crate::model::KernelNs;

/// How soon after one another closes count as one.
const BURST_WINDOW: Duration = Duration::from_millis(100);

/// Upper bound on the ages of one burst that are looked at; the rest is taken to be like them.
const MAX_AGES: usize = 64;

/// How many bursts are looked at, the latest ones: a timeout that was changed is followed within as many closes.
const WINDOW: usize = 20;

/// How many bursts must agree, and be more than half of the window; three quarters while it is not full.
const ENOUGH: usize = 8;

/// After how long without a close that agrees a timeout is forgotten.
const FORGET: Duration = Duration::from_hours(24);

/// An inferred timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout {
    /// How long a connection may idle: the lower quartile of the closes that agree, for timers are late, not early.
    pub value: Duration,
    /// Closes that agree with it, since it was first inferred.
    pub samples: u64,
}

/// The latest closes by one side, and what they have in common.
#[derive(Clone, Debug, Default)]
pub(super) struct IdleAges {
    burst: Burst,
    window: VecDeque<Sample>,
    timeout: Option<Timeout>,
    /// When a close last agreed with it.
    agreed: KernelNs,
}

/// Closes that count as one.
#[derive(Clone, Debug, Default)]
struct Burst {
    began: KernelNs,
    ages: Vec<Duration>,
    closes: u64,
}

/// What a burst came to.
#[derive(Clone, Copy, Debug)]
struct Sample {
    age: Duration,
    closes: u64,
}

impl IdleAges {
    /// Takes the close of a connection that was idle for `age`.
    pub(super) fn add(&mut self, at: KernelNs, age: Duration) {
        self.advance(at);
        let burst = &mut self.burst;
        if burst.closes == 0 {
            burst.began = at;
        }
        burst.closes += 1;
        if burst.ages.len() < MAX_AGES {
            burst.ages.push(age);
        }
    }

    /// Lets time pass: judges a burst that is over.
    pub(super) fn advance(&mut self, now: KernelNs) {
        if self.timeout.is_some() && now.since(self.agreed) >= FORGET {
            self.timeout = None;
            self.window.clear();
        }
        if self.burst.closes == 0 || now.since(self.burst.began) < BURST_WINDOW {
            return;
        }
        let sample = self.burst.sample();
        self.burst.ages.clear();
        self.burst.closes = 0;
        let Some(sample) = sample else { return };
        if self.window.len() == WINDOW {
            self.window.pop_front();
        }
        self.window.push_back(sample);
        self.timeout = self.infer(sample);
        if self.timeout.is_some_and(|timeout| agree(sample.age, timeout.value)) {
            self.agreed = self.burst.began;
        }
    }

    /// The timeout, if the latest closes show one.
    #[must_use]
    pub(super) fn timeout(&self) -> Option<Timeout> {
        self.timeout
    }

    /// Looks for an age that most of the window agrees on; `latest` has just come in. One that is known already stays
    /// while a quarter agrees and no other age has more, so that strays do not make it come and go.
    fn infer(&self, latest: Sample) -> Option<Timeout> {
        let agreeing = |age| self.window.iter().filter(move |sample| agree(sample.age, age));
        let known = self.timeout.filter(|known| agreeing(known.value).count() * 4 >= self.window.len());
        let ages = self.window.iter().map(|sample| sample.age);
        let center = ages.chain(known.map(|known| known.value)).max_by_key(|&age| agreeing(age).count())?;
        let same = known.filter(|known| agree(known.value, center));
        let mut ages: Vec<_> = agreeing(center).map(|sample| sample.age).collect();
        let most = match self.window.len() {
            WINDOW => ages.len() * 2 > WINDOW,
            few => ages.len() * 4 >= few * 3,
        };
        if same.is_none() && (ages.len() < ENOUGH || !most) {
            return None;
        }
        let value = quantile(&mut ages, 4)?;
        let samples = match same {
            Some(known) if agree(latest.age, value) => known.samples + latest.closes,
            Some(known) => known.samples,
            None => agreeing(center).map(|sample| sample.closes).sum(),
        };
        Some(Timeout { value, samples })
    }
}

impl Burst {
    /// One age for all closes of the burst, if most of them have it.
    fn sample(&self) -> Option<Sample> {
        let alike = |age| self.ages.iter().copied().filter(move |&other| agree(other, age));
        let center = self.ages.iter().copied().max_by_key(|&age| alike(age).count())?;
        let mut ages: Vec<_> = alike(center).collect();
        let most = ages.len() * 2 > self.ages.len();
        quantile(&mut ages, 2).filter(|_| most).map(|age| Sample { age, closes: self.closes })
    }
}

/// Whether two ages can be due to one timeout: servers look at their timers now and then, and are late when busy.
#[must_use]
pub fn agree(age: Duration, other: Duration) -> bool {
    age.abs_diff(other) <= (other / 50).max((other / 10).min(Duration::from_millis(100)))
}

/// The age that one part of `parts` lies below.
fn quantile(ages: &mut [Duration], parts: usize) -> Option<Duration> {
    ages.sort_unstable();
    ages.get(ages.len() / parts).copied()
}
