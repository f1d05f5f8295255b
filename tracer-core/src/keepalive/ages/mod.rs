//! Infers an idle timeout from the ages at which idle connections are closed: one age, or the range of a sweep.
//!
//! A timeout shows as many closes at one age and at many moments. A reload or a stop shows as many closes at one
//! moment and at many ages; so what closes together counts as one close.

mod exact;
mod shape;
mod sweep;

use std::{net::IpAddr, time::Duration};

use self::{exact::Exact, sweep::Sweep};
use super::clients::Clients;
use crate::model::KernelNs;

/// How soon after one another closes count as one.
const BURST_WINDOW: Duration = Duration::from_millis(100);

/// Upper bound on the ages of one burst that are looked at; the rest is taken to be like them.
const MAX_AGES: usize = 64;

/// After how long without a close that agrees a timeout is forgotten.
const FORGET: Duration = Duration::from_hours(24);

/// An inferred timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout {
    /// How long a connection may idle at least.
    pub lower: Duration,
    /// When it is closed at the latest; the same as `lower` for a timer of its own, later where a server only looks for
    /// idle connections once in a while.
    pub upper: Duration,
    /// How far the closes that agree with one age lie apart; zero for a sweep, whose bounds tell.
    pub(crate) jitter: Duration,
    /// Closes that agree with it, since it was first inferred.
    pub samples: u64,
}

impl Timeout {
    /// Whether a close at this age can be due to it: servers look at their timers now and then, and are late when busy.
    #[must_use]
    pub fn agrees(&self, age: Duration) -> bool {
        age + tolerance(self.lower) >= self.lower && age <= self.upper + tolerance(self.upper)
    }

    /// Whether there is nothing new in the other one.
    #[must_use]
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        let tolerance = other.upper.abs_diff(other.lower) / 4;
        let same = |one: Duration, other| agree(one, other) || one.abs_diff(other) <= tolerance;
        same(self.lower, other.lower) && same(self.upper, other.upper)
    }
}

/// Whether two ages can be due to one timer.
#[must_use]
pub fn agree(age: Duration, other: Duration) -> bool {
    age.abs_diff(other) <= tolerance(other)
}

fn tolerance(age: Duration) -> Duration {
    (age / 50).max((age / 10).min(Duration::from_millis(100)))
}

/// The latest closes by one side, and what they have in common.
#[derive(Clone, Debug, Default)]
pub(super) struct IdleAges {
    burst: Burst,
    exact: Exact,
    /// Of servers only: clients that close at any age between two bounds do so because they came to ask no more.
    sweep: Option<Sweep>,
    timeout: Option<Timeout>,
    /// When a close last agreed with it.
    agreed: KernelNs,
}

/// Closes that count as one.
#[derive(Clone, Debug, Default)]
struct Burst {
    began: KernelNs,
    ages: Vec<Duration>,
    clients: Clients,
    closes: u64,
}

impl IdleAges {
    /// Of closes by a server.
    #[must_use]
    pub(super) fn of_server() -> Self {
        Self { sweep: Some(Sweep::default()), ..Self::default() }
    }

    /// Of closes by its clients.
    #[must_use]
    pub(super) fn of_clients() -> Self {
        Self::default()
    }

    /// Takes the close of a connection of `client` that was idle for `age`.
    pub(super) fn add(&mut self, at: KernelNs, age: Duration, client: IpAddr) {
        self.advance(at);
        let burst = &mut self.burst;
        if burst.closes == 0 {
            burst.began = at;
        }
        burst.closes += 1;
        burst.clients.add(client);
        if burst.ages.len() < MAX_AGES {
            burst.ages.push(age);
        }
    }

    /// Lets time pass: judges a burst that is over.
    pub(super) fn advance(&mut self, now: KernelNs) {
        if self.timeout.is_some() && now.since(self.agreed) >= FORGET {
            self.forget();
        }
        if self.burst.closes == 0 || now.since(self.burst.began) < BURST_WINDOW {
            return;
        }
        let burst = std::mem::take(&mut self.burst);
        self.exact.take(&burst);
        if let Some(sweep) = &mut self.sweep {
            sweep.take(&burst);
        }
        // A sweep that is not much longer than what timers are late by looks like one age.
        self.timeout = self.sweep.as_ref().and_then(Sweep::timeout).or(self.exact.timeout());
        if self.timeout.is_some_and(|timeout| burst.ages.iter().any(|&age| timeout.agrees(age))) {
            self.agreed = burst.began;
        }
    }

    fn forget(&mut self) {
        self.exact = Exact::default();
        self.sweep = self.sweep.take().map(|_| Sweep::default());
        self.timeout = None;
    }

    /// The timeout, if the latest closes show one.
    #[must_use]
    pub(super) fn timeout(&self) -> Option<Timeout> {
        self.timeout
    }

    /// The clients of the closes that agree with it.
    #[must_use]
    pub(super) fn clients(&self) -> Clients {
        let Some(timeout) = self.timeout else { return Clients::None };
        let swept = self.sweep.as_ref().map_or(Clients::None, |sweep| sweep.clients(&timeout));
        self.exact.clients(&timeout).and(swept)
    }
}
