//! A limit on requests: after how many exchanges a server ends its connections.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use super::clients::Clients;
use crate::{matching::PROVEN, model::KernelNs};

/// Upper bound on the closes that are looked at, the latest ones; and on the lost requests.
const WINDOW: usize = 16;

/// How many of the closes must have come after the same number of exchanges, and be three quarters.
const ENOUGH: usize = 5;

/// How many requests must have met such a close: a server that announces its last response loses none.
const LOST: usize = 2;

/// How soon after one another closes come from one event, such as a reload.
const BURST_WINDOW: Duration = Duration::from_millis(100);

/// For how long something counts.
const RECENT: Duration = Duration::from_hours(1);

/// The numbers of exchanges that connections had carried when their server closed them right behind a response. Only
/// numbers that are certain come here.
#[derive(Clone, Debug, Default)]
pub(super) struct Limit {
    closes: VecDeque<Seen>,
    lost: VecDeque<Seen>,
    /// The most that a connection carried, and when.
    most: Option<(u32, KernelNs)>,
}

/// A connection that ended.
#[derive(Clone, Copy, Debug)]
struct Seen {
    at: KernelNs,
    client: SocketAddr,
    exchanges: u32,
}

impl Limit {
    /// Notes that a connection carried so many exchanges.
    pub(super) fn carried(&mut self, at: KernelNs, exchanges: u32) {
        if self.most.is_none_or(|(most, when)| exchanges >= most || at.since(when) >= RECENT) {
            self.most = Some((exchanges, at));
        }
    }

    /// Takes a close by the server right behind a response. A connection counts once, even where a request met the
    /// close.
    pub(super) fn close(&mut self, at: KernelNs, client: SocketAddr, exchanges: u32) {
        let in_burst = self.closes.back().is_some_and(|last| at.since(last.at) < BURST_WINDOW);
        if !in_burst && !is_in(&self.closes, client, at) {
            push(&mut self.closes, Seen { at, client, exchanges });
        }
    }

    /// Takes a request that met such a close.
    pub(super) fn lost(&mut self, at: KernelNs, client: SocketAddr, exchanges: u32) {
        self.close(at, client, exchanges);
        if !is_in(&self.lost, client, at) {
            push(&mut self.lost, Seen { at, client, exchanges });
        }
    }

    /// After how many requests the server ends connections, where its closes show it and no connection carried more.
    #[must_use]
    pub(super) fn requests(&self) -> Option<u32> {
        let within = |limit: u32, by| self.at(limit, by).count();
        let numbers = self.closes.iter().map(|seen| seen.exchanges);
        let limit = numbers.max_by_key(|&limit| (within(limit, 1), within(limit, 0)))?;
        let alike = within(limit, 1);
        let enough = alike >= ENOUGH && alike * 4 >= self.closes.len() * 3;
        let most = self.most.map_or(0, |(most, _)| most);
        // Fewer exchanges may be a handshake and one request.
        (enough && limit >= PROVEN && most <= limit + 1).then_some(limit)
    }

    /// The same, where requests met such closes lately.
    #[must_use]
    pub(super) fn that_loses_requests(&self, now: KernelNs) -> Option<u32> {
        let limit = self.requests()?;
        let of_limit = |seen: &&Seen| seen.exchanges.abs_diff(limit) <= 1 && now.since(seen.at) < RECENT;
        (self.lost.iter().filter(of_limit).count() >= LOST).then_some(limit)
    }

    /// The clients of the closes at this limit.
    #[must_use]
    pub(super) fn clients(&self, limit: u32) -> Clients {
        self.at(limit, 1).map(|seen| Clients::One(seen.client.ip())).collect()
    }

    fn at(&self, limit: u32, by: u32) -> impl Iterator<Item = &Seen> {
        self.closes.iter().filter(move |seen| seen.exchanges.abs_diff(limit) <= by)
    }
}

/// How long a connection is taken for the same at the same address: as long as the kernel's time-wait.
const SAME: Duration = Duration::from_mins(1);

fn is_in(window: &VecDeque<Seen>, client: SocketAddr, at: KernelNs) -> bool {
    window.iter().any(|seen| seen.client == client && at.since(seen.at) < SAME)
}

fn push(window: &mut VecDeque<Seen>, seen: Seen) {
    if window.len() == WINDOW {
        window.pop_front();
    }
    window.push_back(seen);
}
