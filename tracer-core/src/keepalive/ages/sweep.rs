//! A server that looks for idle connections once in a while: closes at any age from its timeout to that and the time
//! between two looks.
//!
//! lighttpd, Redis, Tomcat and gunicorn's threads look each second, Java's `HttpServer` each 10 s, waitress each 30 s.
//! An age is then the timeout plus a uniform part of the sweep. But a client that reuses a connection takes it away
//! from the server: the older, the fewer are left to be closed. So the lower edge of the ages is sharp, and from there
//! on they thin out or, at most, spread evenly; see [`super::shape`]. A sweep is taken for shown where the latest ages,
//! seen at many moments,
//!
//! - have that shape: several timeouts make heaps and gaps (two servers behind one address);
//! - have their lower edge clearly above zero, at no small part of their range: connections that are closed for any
//!   other reason (a reload, a full table, a limit on age, chance) are closed at short ages most of all;
//! - lie as close together as those of a server that anybody knows: within 11 s, or half of the timeout;
//! - but further apart than timers are late: else they have one age, see [`super::exact`].

use std::{collections::VecDeque, time::Duration};

use super::{Burst, Timeout, shape, tolerance};
use crate::keepalive::clients::Clients;

/// How many bursts are looked at, the latest ones.
const WINDOW: usize = 32;

/// At how many moments a sweep must show.
const MOMENTS: usize = 8;

/// How many closes show a sweep.
const ENOUGH: usize = 16;

/// Upper bound on the closes of one burst that count: what one moment shows may be chance.
const OF_ONE_BURST: usize = 4;

/// One in how many bursts may be of other closes.
const STRAYS: usize = 8;

/// The shortest timeout that is told from closes at any age.
const SHORTEST: Duration = Duration::from_millis(250);

/// By how much timers of busy servers are late: a sweep is longer.
const LATE: Duration = Duration::from_millis(200);

/// The longest sweep in use, but for timeouts of more than twice that.
const LONGEST: Duration = Duration::from_secs(11);

/// How many times as long as its timeout a sweep can be: Java's is, for 2 s. It takes [`MANY`] closes to tell that from
/// chance.
const TIMES: u32 = 5;

/// See [`TIMES`].
const MANY: usize = 28;

/// The latest bursts of closes, and the range that most of them lie in.
#[derive(Clone, Debug, Default)]
pub(super) struct Sweep {
    window: VecDeque<Sample>,
    timeout: Option<Timeout>,
    /// Bursts since the window last showed it.
    not_shown: usize,
}

/// What is kept of a burst. A look closes several connections at once, each of another age.
#[derive(Clone, Debug)]
struct Sample {
    /// A few of its ages, any: the lowest and highest of each would crowd at the edges.
    ages: Vec<Duration>,
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
        self.window.push_back(latest.clone());
        self.not_shown = if let Some(range) = self.infer() {
            self.timeout = Some(self.follow(range, &latest));
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
        self.window.iter().filter(|sample| timeout.agrees(sample.lowest))
    }

    /// The range that shows now, or all of the known one while it is most of that: few closes reach its edges.
    fn follow(&self, (lower, upper): Range, latest: &Sample) -> Timeout {
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
            Some(known) if timeout.agrees(latest.lowest) => known.samples + latest.closes,
            Some(known) => known.samples,
            None => self.inside(&timeout).map(|sample| sample.closes).sum(),
        };
        timeout
    }

    /// The range of the ages if a sweep explains them, without as few bursts as possible that stand apart below: closes
    /// for another reason come sooner, not later.
    fn infer(&self) -> Option<Range> {
        let mut bursts: Vec<_> = self.window.iter().collect();
        bursts.sort_by_key(|burst| burst.lowest);
        (0..=bursts.len() / STRAYS).map(|strays| bursts.split_at(strays)).find_map(|(strays, bursts)| {
            let (lower, upper) = range_of_sweep(bursts)?;
            let apart =
                strays.last().is_none_or(|stray| lower.abs_diff(stray.lowest) > upper.abs_diff(lower) / 2);
            apart.then_some((lower, upper))
        })
    }
}

impl Sample {
    fn of(burst: &Burst) -> Option<Self> {
        let count = burst.ages.len();
        let start = usize::try_from(burst.began.0).unwrap_or_default().checked_rem(count)?;
        let some = burst.ages.iter().cycle().skip(start).step_by((count / OF_ONE_BURST).max(1));
        Some(Self {
            ages: some.take(count.min(OF_ONE_BURST)).copied().collect(),
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

/// The range of these bursts, sorted by their lowest ages, if a sweep explains them all.
fn range_of_sweep(bursts: &[&Sample]) -> Option<Range> {
    let lower = bursts.first()?.lowest;
    let upper = bursts.iter().map(|burst| burst.highest).max()?;
    let mut ages: Vec<_> = bursts.iter().flat_map(|burst| &burst.ages).copied().collect();
    ages.sort_unstable();
    let sweep = upper.abs_diff(lower);
    let times = if ages.len() >= MANY { TIMES } else { 2 };
    let shown = bursts.len() >= MOMENTS
        && ages.len() >= ENOUGH
        && lower >= SHORTEST
        && sweep > LATE.max(tolerance(lower))
        && sweep <= lower * times + LATE
        && sweep <= LONGEST.max(lower / 2)
        && shape::thins_out(&ages, lower, upper);
    shown.then_some((lower, upper))
}
