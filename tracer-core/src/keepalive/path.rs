//! A path that forgets connections: NAT, a firewall or a balancer between client and server.

use std::{collections::VecDeque, time::Duration};

use super::ages::agree;
use crate::model::KernelNs;

/// Upper bound on the reuses that are looked at, the latest ones.
const WINDOW: usize = 16;

/// How many reuses must have been reset, at so many moments.
const ENOUGH: usize = 5;

/// How soon after one another resets come from one event, such as a restart.
const BURST_WINDOW: Duration = Duration::from_millis(100);

/// For how long something counts.
const RECENT: Duration = Duration::from_hours(24);

/// No path forgets a connection sooner.
const SHORTEST: Duration = Duration::from_secs(1);

/// A reuse that was reset while no FIN was ever seen, and nothing else tells who ended the connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ForgottenReuse {
    /// When it was reset.
    pub at: KernelNs,
    /// How long the connection had been idle.
    pub rest: Duration,
    /// Exchanges that it had carried, where that is certain.
    pub exchanges: Option<u32>,
}

/// How old connections were when they turned out to be forgotten, and when they were still alive.
#[derive(Clone, Debug, Default)]
pub(super) struct Path {
    forgotten: VecDeque<ForgottenReuse>,
    /// How many requests met that.
    pub count: u64,
    /// The longest rest after which a connection was alive, and when.
    alive: Option<(Duration, KernelNs)>,
}

/// A path that forgets connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Forgets {
    /// The longest rest after which a connection was still alive; zero where no more is known than that some were
    /// reused.
    pub alive: Duration,
    /// The shortest rest after which one was forgotten.
    pub bound: Duration,
}

impl Path {
    /// Takes a reuse that was reset.
    pub(super) fn forgot(&mut self, reuse: ForgottenReuse) {
        self.count += 1;
        if reuse.exchanges.is_some_and(|exchanges| exchanges > 1) {
            self.alive(reuse.at, Duration::ZERO);
        }
        if self.last().is_some_and(|last| reuse.at.since(last) < BURST_WINDOW) {
            return;
        }
        if self.forgotten.len() == WINDOW {
            self.forgotten.pop_front();
        }
        self.forgotten.push_back(reuse);
    }

    /// Notes that a connection was alive after such a rest: the server's close arrived, or it was used again.
    pub(super) fn alive(&mut self, at: KernelNs, rest: Duration) {
        if self.alive.is_none_or(|(longest, when)| rest >= longest || at.since(when) >= RECENT) {
            self.alive = Some((rest, at));
        }
    }

    /// When a reuse was last reset.
    #[must_use]
    pub(super) fn last(&self) -> Option<KernelNs> {
        self.forgotten.back().map(|reuse| reuse.at)
    }

    /// The bound, where connections that rested for less were alive, and all that rested for longer were not.
    #[must_use]
    pub(super) fn forgets(&self, now: KernelNs) -> Option<Forgets> {
        let recent = || self.forgotten.iter().filter(|reuse| now.since(reuse.at) < RECENT);
        let bound = recent().map(|reuse| reuse.rest).min().filter(|&bound| bound >= SHORTEST)?;
        let (alive, _) = self.alive?;
        let below = alive < bound && !agree(alive, bound);
        (below && recent().count() >= ENOUGH).then_some(Forgets { alive, bound })
    }
}
