//! What is known of one server's keep-alive: who closes its idle connections, at which age, and which requests met such
//! a close.

use std::{collections::VecDeque, time::Duration};

use serde::Serialize;
use tracer_common::IDLE_BOUNDS_MS;

use super::idle_ages::{IdleAges, Timeout, agree};
use crate::{
    matching::{IDLE, IdleClose},
    model::{KernelNs, Role, Server, seconds},
};

/// [`IDLE_BOUNDS_MS`] in seconds.
pub const IDLE_BUCKETS: [f64; IDLE_BOUNDS_MS.len()] = {
    let mut seconds = [0.0; IDLE_BOUNDS_MS.len()];
    let mut index = 0;
    while index < seconds.len() {
        seconds[index] = IDLE_BOUNDS_MS[index] as f64 / 1000.0;
        index += 1;
    }
    seconds
};

/// How long a lost request counts as recent.
const RECENT: Duration = Duration::from_hours(1);

/// How long a close counts as what the server does, if nothing contradicts it before.
const CLOSES_COUNT_FOR: Duration = Duration::from_hours(24);

/// How many idle closes by clients, one after the other, show that the server does not close first any more, once it
/// has not for [`CLIENTS_FIRST_FOR`] and ten timeouts: a few clients may keep connections for longer than all others.
const CLIENTS_FIRST: u64 = 20;

/// See [`CLIENTS_FIRST`].
const CLIENTS_FIRST_FOR: Duration = Duration::from_mins(5);

/// How soon after one another lost requests come from one event, such as a reload.
const BURST_WINDOW: Duration = Duration::from_millis(100);

/// Upper bound on the lost requests remembered while no timeout is known, the latest ones.
const MAX_RESTS: usize = 64;

/// Upper bound on the lost requests right behind a response that are looked at, the latest ones.
const MAX_SHORT_RACES: usize = 16;

/// How many of those must have come after the same number of requests.
const ENOUGH_SHORT_RACES: usize = 5;

/// What is known of one server.
#[derive(Clone, Debug)]
pub(super) struct ServerProfile {
    /// Closes by the server.
    pub by_server: Closes,
    /// Closes by its clients.
    pub by_client: Closes,
    /// Races of requests with closes that the server's timeout explains.
    pub idle_races: Races,
    /// Races right behind a response.
    pub short_races: Races,
    /// All races.
    pub races: u64,
    /// Those after a longer rest: when, and how long it was.
    rests: VecDeque<(KernelNs, Duration)>,
    /// The timeout that `idle_races` were counted for.
    counted_for: Option<Duration>,
    /// Reuses of its connections, where they are counted, and those that came close to its timeout.
    pub reuses: Option<Reuses>,
    /// When something was last seen of it.
    pub touched: KernelNs,
    pub last_server_close: Option<KernelNs>,
    /// Idle closes by clients since the server's last one.
    clients_first: u64,
    /// Requests that the connections of short races had carried.
    requests: VecDeque<u32>,
    /// The most requests that a connection carried, and when.
    most_requests: Option<(u32, KernelNs)>,
}

/// A request that met a close of the server's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LostRequest {
    /// When it met the close.
    pub at: KernelNs,
    /// How long no payload had passed, if that is known.
    pub rest: Option<Duration>,
    /// The connection's round-trip time, if it was measured: a server sees the next request no sooner.
    pub round_trip: Option<Duration>,
    /// Requests that the connection had carried before, as far as known.
    pub requests: Option<u32>,
}

/// How often a server's connections were reused since the mark for late reuses was set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reuses {
    /// Every reuse.
    pub count: u64,
    /// Those that came later than the mark.
    pub late: u64,
}

/// How many requests met a close.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Races {
    /// How many.
    pub count: u64,
    pub last: Option<KernelNs>,
}

impl Races {
    fn add(&mut self, at: KernelNs) {
        self.count += 1;
        self.last = Some(at);
    }

    /// Whether there was one recently.
    #[must_use]
    pub(super) fn recently(&self, now: KernelNs) -> bool {
        self.last.is_some_and(|last| now.since(last) < RECENT)
    }
}

/// Closes of idle connections by one side.
#[derive(Clone, Debug, Default)]
pub(super) struct Closes {
    /// How many.
    pub count: u64,
    /// By age, in the buckets of `tracer_idle_close_seconds`; the last one has no upper bound.
    pub buckets: [u64; IDLE_BUCKETS.len() + 1],
    /// What they have in common.
    pub ages: IdleAges,
}

impl Closes {
    fn add(&mut self, close: &IdleClose) {
        self.count += 1;
        let seconds = close.idle.as_secs_f64();
        self.buckets[IDLE_BUCKETS.partition_point(|&bound| bound < seconds)] += 1;
        // What closes a connection that never carried a request is no keep-alive timeout.
        if close.requests.is_some_and(|requests| requests > 0) {
            self.ages.add(close.at, close.idle);
        }
    }
}

impl ServerProfile {
    /// Nothing is known yet.
    #[must_use]
    pub(super) fn new(now: KernelNs) -> Self {
        Self {
            by_server: Closes::default(),
            by_client: Closes::default(),
            idle_races: Races::default(),
            short_races: Races::default(),
            races: 0,
            rests: VecDeque::new(),
            counted_for: None,
            reuses: None,
            touched: now,
            last_server_close: None,
            clients_first: 0,
            requests: VecDeque::new(),
            most_requests: None,
        }
    }

    /// Takes the close of an idle connection.
    pub(super) fn close(&mut self, close: &IdleClose) {
        self.touched = close.at;
        self.carried(close.at, close.requests);
        if close.closed_by() == Some(Role::Server) {
            self.by_server.add(close);
            self.last_server_close = Some(close.at);
            self.clients_first = 0;
        } else {
            self.by_client.add(close);
            self.clients_first += 1;
        }
    }

    /// Takes a request that met a close.
    pub(super) fn lost_request(&mut self, lost: &LostRequest) {
        let LostRequest { at, rest, round_trip, requests } = *lost;
        self.touched = at;
        self.races += 1;
        self.carried(at, requests);
        let Some(rest) = rest else { return };
        if rest < IDLE + round_trip.unwrap_or_default() * 2 {
            if self.short_races.last.is_none_or(|last| at.since(last) >= BURST_WINDOW) {
                self.requests.extend(requests);
            }
            if self.requests.len() > MAX_SHORT_RACES {
                self.requests.pop_front();
            }
            self.short_races.add(at);
            return;
        }
        if self.counted_for.is_some_and(|timeout| explains(timeout, rest)) {
            self.idle_races.add(at);
        }
        if self.rests.len() == MAX_RESTS {
            self.rests.pop_front();
        }
        self.rests.push_back((at, rest));
    }

    /// Notes the most requests that a connection carried lately.
    fn carried(&mut self, at: KernelNs, requests: Option<u32>) {
        let Some(requests) = requests else { return };
        if self.most_requests.is_none_or(|(most, when)| requests >= most || at.since(when) >= RECENT) {
            self.most_requests = Some((requests, at));
        }
    }

    /// Lets time pass.
    pub(super) fn advance(&mut self, now: KernelNs) {
        self.by_server.ages.advance(now);
        self.by_client.ages.advance(now);
        let timeout = self.by_server.ages.timeout().map(|timeout| timeout.value);
        if let Some(timeout) = timeout
            && self.counted_for.is_none_or(|counted_for| !agree(counted_for, timeout))
        {
            self.idle_races = Races::default();
            let explained = self.rests.iter().filter(|(_, rest)| explains(timeout, *rest));
            explained.for_each(|(at, _)| self.idle_races.add(*at));
            self.counted_for = Some(timeout);
        }
    }

    /// The server's timeout, while its closes come before its clients'.
    #[must_use]
    pub(super) fn server_closes_first(&self, now: KernelNs) -> Option<Timeout> {
        let timeout = self.by_server.ages.timeout()?;
        let last = self.last_server_close?;
        let quiet = now.since(last);
        let clients_first =
            self.clients_first >= CLIENTS_FIRST && quiet >= CLIENTS_FIRST_FOR.max(timeout.value * 10);
        (quiet < CLOSES_COUNT_FOR && !clients_first).then_some(timeout)
    }

    /// After how many requests the server ends connections, where races right behind a response show it, and no
    /// connection carried more.
    #[must_use]
    pub(super) fn request_limit(&self, now: KernelNs) -> Option<u32> {
        let within =
            |limit: u32, by| self.requests.iter().filter(|other| other.abs_diff(limit) <= by).count();
        let limit =
            self.requests.iter().copied().max_by_key(|&limit| (within(limit, 1), within(limit, 0)))?;
        let alike = within(limit, 1);
        let enough = alike >= ENOUGH_SHORT_RACES && alike * 4 >= self.requests.len() * 3;
        let most = self.most_requests.map_or(0, |(most, _)| most);
        (enough && most <= limit + 1 && self.short_races.recently(now)).then_some(limit)
    }

    /// The idle timeout of the clients, where it shows and is longer than the server's.
    #[must_use]
    pub(super) fn longer_client_timeout(&self) -> Option<Timeout> {
        let server = self.by_server.ages.timeout()?;
        self.by_client.ages.timeout().filter(|client| client.value > server.value)
    }
}

/// Whether a close by `timeout` can be what a request met after `rest`: at that age, or later if nobody looked.
fn explains(timeout: Duration, rest: Duration) -> bool {
    rest >= timeout || agree(rest, timeout)
}

/// What is known of one server, as `/api/v1/servers` shows it: the README explains the fields. Unknown is `null`; times
/// are in seconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServerView {
    pub(crate) server: String,
    pub(crate) role: &'static str,
    pub(crate) netns: Option<u32>,
    pub(crate) keepalive_timeout_seconds: Option<f64>,
    pub(crate) keepalive_timeout_samples: u64,
    pub(crate) client_timeout_seconds: Option<f64>,
    pub(crate) client_timeout_samples: u64,
    pub(crate) races: u64,
    pub(crate) idle_closes: IdleCloses,
}

/// Closes of idle connections by age.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct IdleCloses {
    /// Upper bounds of the buckets but the last, which has none.
    pub(crate) bounds: [f64; IDLE_BUCKETS.len()],
    /// Closes by the server in each bucket.
    pub(crate) server: Vec<u64>,
    /// Closes by its clients.
    pub(crate) client: Vec<u64>,
}

impl ServerView {
    /// Says what is known.
    #[must_use]
    pub(super) fn new(server: &Server, known: &ServerProfile) -> Self {
        let (by_server, by_client) = (known.by_server.ages.timeout(), known.by_client.ages.timeout());
        Self {
            server: server.endpoint.to_string(),
            role: server.role.name(),
            netns: server.netns,
            keepalive_timeout_seconds: by_server.map(|timeout| seconds(timeout.value)),
            keepalive_timeout_samples: by_server.map_or(0, |timeout| timeout.samples),
            client_timeout_seconds: by_client.map(|timeout| seconds(timeout.value)),
            client_timeout_samples: by_client.map_or(0, |timeout| timeout.samples),
            races: known.races,
            idle_closes: IdleCloses {
                bounds: IDLE_BUCKETS,
                server: known.by_server.buckets.to_vec(),
                client: known.by_client.buckets.to_vec(),
            },
        }
    }
}
