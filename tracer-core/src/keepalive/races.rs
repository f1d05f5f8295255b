//! Requests that met a close of their server's.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use super::{
    ages::{Timeout, agree},
    clients::Clients,
};
use crate::{matching::EndedBy, model::KernelNs};

/// How long a lost request counts as recent.
const RECENT: Duration = Duration::from_hours(1);

/// Upper bound on the lost requests remembered while no timeout is known, the latest ones.
const MAX_RESTS: usize = 64;

/// A request that met a close of the server's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LostRequest {
    /// When it met the close.
    pub at: KernelNs,
    /// How long no payload had passed, if that is known.
    pub rest: Option<Duration>,
    /// The connection's round-trip time, if it was measured: a server sees the next request no sooner.
    pub round_trip: Option<Duration>,
    /// Exchanges that the connection had carried before, where that is certain.
    pub exchanges: Option<u32>,
    /// The server's FIN was seen.
    pub fin_seen: bool,
    /// The server may have said a last word before: see `FirstFin::maybe_rest_since`.
    pub maybe_last_word: bool,
    /// How the client learned of it.
    pub ended: EndedBy,
}

/// How many requests met a close.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Races {
    /// How many.
    pub count: u64,
    /// Of those, how many ended by FIN.
    pub by_fin: u64,
    /// Whose they were.
    pub clients: Clients,
    pub last: Option<KernelNs>,
}

impl Races {
    pub(super) fn add(&mut self, lost: &LostRequest, client: SocketAddr) {
        self.count += 1;
        self.by_fin += u64::from(lost.ended == EndedBy::Fin);
        self.clients.add(client.ip());
        self.last = Some(lost.at);
    }

    /// Whether there was one recently.
    #[must_use]
    pub(super) fn recently(&self, now: KernelNs) -> bool {
        self.last.is_some_and(|last| now.since(last) < RECENT)
    }
}

/// Races after a rest, and those of them that the server's timeout explains. What came before that was known is counted
/// when it is.
#[derive(Clone, Debug, Default)]
pub(super) struct IdleRaces {
    rests: VecDeque<(LostRequest, Duration, SocketAddr)>,
    counted_for: Option<Duration>,
    /// Those that the timeout explains.
    pub explained: Races,
}

impl IdleRaces {
    /// Takes one that came after `rest`.
    pub(super) fn add(&mut self, lost: LostRequest, rest: Duration, client: SocketAddr) {
        if self.counted_for.is_some_and(|timeout| explains(timeout, rest)) {
            self.explained.add(&lost, client);
        }
        if self.rests.len() == MAX_RESTS {
            self.rests.pop_front();
        }
        self.rests.push_back((lost, rest, client));
    }

    /// Counts for this timeout from now on.
    pub(super) fn count_for(&mut self, timeout: &Timeout) {
        if self.counted_for.is_some_and(|known| agree(known, timeout.lower)) {
            return;
        }
        self.counted_for = Some(timeout.lower);
        self.explained = Races::default();
        for (lost, _, client) in self.rests.iter().filter(|(_, rest, _)| explains(timeout.lower, *rest)) {
            self.explained.add(lost, *client);
        }
    }
}

/// Whether a close by `timeout` can be what a request met after `rest`: at that age, or later if nobody looked.
fn explains(timeout: Duration, rest: Duration) -> bool {
    rest >= timeout || agree(rest, timeout)
}
