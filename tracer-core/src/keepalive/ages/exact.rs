//! A timer for each connection: closes at one age.

use std::{collections::VecDeque, time::Duration};

use super::{Burst, Timeout, agree};
use crate::keepalive::clients::Clients;

/// How many bursts are looked at, the latest ones: a timeout that was changed is followed within as many closes.
const WINDOW: usize = 20;

/// How many bursts must agree, and be more than half of the window; three quarters while it is not full.
const ENOUGH: usize = 8;

/// The latest closes, and the age that most of them have. Bursts of many ages, as a reload makes them, are none of
/// them.
#[derive(Clone, Debug, Default)]
pub(super) struct Exact {
    window: VecDeque<Sample>,
    timeout: Option<Timeout>,
}

/// What a burst came to.
#[derive(Clone, Copy, Debug)]
struct Sample {
    age: Duration,
    clients: Clients,
    closes: u64,
}

impl Exact {
    /// Takes a burst.
    pub(super) fn take(&mut self, burst: &Burst) {
        let Some(sample) = sample(burst) else { return };
        if self.window.len() == WINDOW {
            self.window.pop_front();
        }
        self.window.push_back(sample);
        self.timeout = self.infer(sample);
    }

    /// The timeout, if most of the latest closes have one age: the lower quartile of those that agree, for timers are
    /// late, not early.
    pub(super) fn timeout(&self) -> Option<Timeout> {
        self.timeout
    }

    /// The clients of the closes that agree with `timeout`.
    pub(super) fn clients(&self, timeout: &Timeout) -> Clients {
        let agreeing = self.window.iter().filter(|sample| timeout.agrees(sample.age));
        agreeing.map(|sample| sample.clients).collect()
    }

    /// Looks for an age that most of the window agrees on; `latest` has just come in. One that is known already stays
    /// while a quarter agrees and no other age has more, so that strays do not make it come and go.
    fn infer(&self, latest: Sample) -> Option<Timeout> {
        let agreeing = |age| self.window.iter().filter(move |sample| agree(sample.age, age));
        let known = self.timeout.filter(|known| agreeing(known.lower).count() * 4 >= self.window.len());
        let ages = self.window.iter().map(|sample| sample.age);
        let center = ages.chain(known.map(|known| known.lower)).max_by_key(|&age| agreeing(age).count())?;
        let same = known.filter(|known| agree(known.lower, center));
        let mut ages: Vec<_> = agreeing(center).map(|sample| sample.age).collect();
        let most = match self.window.len() {
            WINDOW => ages.len() * 2 > WINDOW,
            few => ages.len() * 4 >= few * 3,
        };
        if same.is_none() && (ages.len() < ENOUGH || !most) {
            return None;
        }
        let age = quantile(&mut ages, 4)?;
        let samples = match same {
            Some(known) if agree(latest.age, age) => known.samples + latest.closes,
            Some(known) => known.samples,
            None => agreeing(center).map(|sample| sample.closes).sum(),
        };
        let jitter = ages.last()?.saturating_sub(*ages.first()?);
        Some(Timeout { lower: age, upper: age, jitter, samples })
    }
}

/// One age for all closes of the burst, if most of them have it.
fn sample(burst: &Burst) -> Option<Sample> {
    let alike = |age| burst.ages.iter().copied().filter(move |&other| agree(other, age));
    let center = burst.ages.iter().copied().max_by_key(|&age| alike(age).count())?;
    let mut ages: Vec<_> = alike(center).collect();
    let most = ages.len() * 2 > burst.ages.len();
    let age = quantile(&mut ages, 2).filter(|_| most)?;
    Some(Sample { age, clients: burst.clients, closes: burst.closes })
}

/// The age that one part of `parts` lies below. Leaves them sorted.
fn quantile(ages: &mut [Duration], parts: usize) -> Option<Duration> {
    ages.sort_unstable();
    ages.get(ages.len() / parts).copied()
}
