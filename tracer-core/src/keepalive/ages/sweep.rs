//! A server that looks for idle connections once in a while: closes at any age from its timeout to that and the time
//! between two looks.
//!
//! lighttpd, Redis, Tomcat and gunicorn's threads look each second, Java's `HttpServer` each 10 s, waitress each 30 s. An
//! age is then the timeout plus a uniform part of the sweep. So a sweep is taken for shown where the latest ages
//!
//! - spread evenly, without a gap and without a heap: several timeouts make heaps (two servers behind one address);
//! - have a lower edge, clearly above zero and no small part of their range: connections that are closed for any other
//!   reason (a reload, a full table, a limit on age, chance) are closed at short ages most of all;
//! - lie as close together as those of a server that anybody knows: within 11 s, or half of the timeout;
//! - but further apart than timers are late: else they have one age, see [`super::exact`].

use std::{collections::VecDeque, time::Duration};

use super::{Burst, Timeout, tolerance};
use crate::keepalive::clients::Clients;

/// How many bursts are looked at, the latest ones.
const WINDOW: usize = 32;

/// How many bursts show a sweep.
const ENOUGH: usize = 16;

/// How many bursts of a whole window may be of other closes.
const STRAYS: usize = 4;

/// The shortest timeout that is told from closes at any age.
const SHORTEST: Duration = Duration::from_millis(250);

/// By how much timers of busy servers are late: a sweep is longer.
const LATE: Duration = Duration::from_millis(200);

/// The longest sweep in use, but for timeouts of more than twice that.
const LONGEST: Duration = Duration::from_secs(11);

/// How many times as long as its timeout a sweep can be: Java's is, for 2 s. It takes the whole window to tell that from
/// chance.
const TIMES: u32 = 5;

/// The latest bursts of closes, and the range that most of them lie in.
#[derive(Clone, Debug, Default)]
pub(super) struct Sweep {
    window: VecDeque<Sample>,
    timeout: Option<Timeout>,
    /// Bursts since the window last showed it.
    not_shown: usize,
}

/// What is kept of a burst. A look closes several connections at once, each of another age.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// The first one's age: any, where the lowest and highest would crowd at the edges.
    age: Duration,
    lowest: Duration,
    highest: Duration,
    clients: Clients,
    closes: u64,
}

/// The lowest and highest age.
type Range = (Duration, Duration);

impl Sweep {
    /// Takes a burst.
    pub(super) fn take(&mut self, burst: &Burst) {
        let Some(latest) = Sample::of(burst) else { return };
        if self.window.len() == WINDOW {
            self.window.pop_front();
        }
        self.window.push_back(latest);
        self.not_shown = if let Some(range) = self.infer() {
            self.timeout = Some(self.follow(range, latest));
            0
        } else {
            self.timeout = self.timeout.map(|timeout| latest.widen(timeout));
            self.not_shown + 1
        };
        let inside = |timeout: &Timeout| self.inside(timeout).count() * 2 >= self.window.len();
        self.timeout = self.timeout.filter(|timeout| self.not_shown < WINDOW && inside(timeout));
    }

    /// The bounds of the timeout, if the latest closes show a sweep, or did a while ago and do not contradict it.
    pub(super) fn timeout(&self) -> Option<Timeout> {
        self.timeout
    }

    /// The clients of the closes that agree with `timeout`.
    pub(super) fn clients(&self, timeout: &Timeout) -> Clients {
        self.inside(timeout).map(|sample| sample.clients).collect()
    }

    fn inside<'a>(&'a self, timeout: &'a Timeout) -> impl Iterator<Item = &'a Sample> {
        self.window.iter().filter(|sample| timeout.agrees(sample.age))
    }

    /// The range that shows now, or all of the known one while it is most of that: few closes reach its edges.
    fn follow(&self, (lower, upper): Range, latest: Sample) -> Timeout {
        let known = self.timeout.filter(|known| {
            let both = known.upper.max(upper).abs_diff(known.lower.min(lower));
            both * 3 <= upper.abs_diff(lower) * 4
        });
        let (lower, upper) = match known {
            Some(known) => (known.lower.min(lower), known.upper.max(upper)),
            None => (lower, upper),
        };
        let mut timeout = Timeout { lower, upper, jitter: Duration::ZERO, samples: 0 };
        timeout.samples = match known {
            Some(known) if timeout.agrees(latest.age) => known.samples + latest.closes,
            Some(known) => known.samples,
            None => self.inside(&timeout).map(|sample| sample.closes).sum(),
        };
        timeout
    }

    fn infer(&self) -> Option<Range> {
        let mut ages: Vec<_> = self.window.iter().map(|sample| sample.age).collect();
        ages.sort_unstable();
        let ages = without_strays(&ages)?;
        let (first, last) = ends(ages)?;
        // Of a burst that reaches far beyond that, as a reload's may, nothing counts but its first age.
        let slack = last.abs_diff(first) / 4;
        let within = |age: &Duration| (first.saturating_sub(slack)..=last + slack).contains(age);
        let lower = self.window.iter().map(|sample| sample.lowest).filter(within).min()?;
        let upper = self.window.iter().map(|sample| sample.highest).filter(within).max()?;
        Some((lower, upper))
    }
}

impl Sample {
    fn of(burst: &Burst) -> Option<Self> {
        Some(Self {
            age: *burst.ages.first()?,
            lowest: *burst.ages.iter().min()?,
            highest: *burst.ages.iter().max()?,
            clients: burst.clients,
            closes: burst.closes,
        })
    }

    /// Few closes show the edges of a sweep: one beyond moves them, if it does not lie far off.
    fn widen(&self, timeout: Timeout) -> Timeout {
        let slack = timeout.upper.abs_diff(timeout.lower) / 2;
        let near = timeout.lower.saturating_sub(slack)..=timeout.upper + slack;
        if !near.contains(&self.lowest) || !near.contains(&self.highest) {
            return timeout;
        }
        Timeout {
            lower: timeout.lower.min(self.lowest),
            upper: timeout.upper.max(self.highest),
            samples: timeout.samples + self.closes,
            ..timeout
        }
    }
}

/// The ages that a sweep explains, without as few as possible that stand apart below: closes for another reason come
/// sooner, not later.
fn without_strays(ages: &[Duration]) -> Option<&[Duration]> {
    (0..=ages.len().checked_sub(ENOUGH)? * STRAYS / (WINDOW - ENOUGH))
        .map(|strays| ages.split_at(strays))
        .find_map(|(strays, ages)| {
            let (first, last) = ends(ages)?;
            let apart = strays.last().is_none_or(|&stray| first.abs_diff(stray) > last.abs_diff(first) / 2);
            (apart && is_sweep(ages)).then_some(ages)
        })
}

fn is_sweep(ages: &[Duration]) -> bool {
    let Some((first, last)) = ends(ages) else { return false };
    let sweep = last.abs_diff(first);
    let times = if ages.len() + STRAYS >= WINDOW { TIMES } else { 2 };
    first >= SHORTEST
        && sweep > LATE.max(tolerance(first))
        && sweep <= first * times + LATE
        && sweep <= LONGEST.max(first / 2)
        && is_even(ages, first, sweep)
}

/// Whether sorted ages spread evenly over `range` from `first` on: their shares differ from an even spread's by no more
/// than chance explains (Kolmogorov's test, at one in a hundred), so do the gaps between them, and no age has a heap.
#[expect(clippy::cast_precision_loss, reason = "the window is short")]
fn is_even(ages: &[Duration], first: Duration, range: Duration) -> bool {
    let count = ages.len() as f64;
    let place = |age: Duration| age.abs_diff(first).as_secs_f64() / range.as_secs_f64();
    let deviates = |(index, &age): (usize, &Duration)| {
        ((index as f64 + 0.5) / count - place(age)).abs() > 1.6 / count.sqrt()
    };
    let gapes = |pair: &[Duration]| place(pair[1]) - place(pair[0]) > largest_gap(ages.len());
    !ages.iter().enumerate().any(deviates) && !ages.windows(2).any(gapes) && !has_heap(ages, range)
}

/// Whether more closes agree on one age than chance brings together: three standard deviations.
#[expect(clippy::cast_precision_loss, reason = "the window is short")]
fn has_heap(ages: &[Duration], range: Duration) -> bool {
    let count = ages.len() as f64;
    let is_heap = |age: Duration| {
        let share = (2.0 * tolerance(age).as_secs_f64() / range.as_secs_f64()).min(1.0);
        let alike = ages.iter().filter(|other| other.abs_diff(age) <= tolerance(age)).count() as f64;
        alike > share * count + 3.0 * (share * count).sqrt() + 1.0
    };
    ages.iter().copied().any(is_heap)
}

/// The largest gap that chance leaves between so many ages, as a part of their range; in one of a hundred cases it is
/// larger.
#[expect(clippy::cast_precision_loss, reason = "the window is short")]
fn largest_gap(count: usize) -> f64 {
    ((count as f64).ln() + 4.5) / count as f64
}

fn ends(sorted: &[Duration]) -> Option<Range> {
    Some((*sorted.first()?, *sorted.last()?))
}
