//! What is known of one server's keep-alive: who closes its idle connections, at which age, and which requests met such
//! a close.

use std::{net::SocketAddr, time::Duration};

use super::{
    ages::{IdleAges, Timeout},
    clients::Clients,
    closes::Closes,
    knowledge::{Answers, Knowledge},
    limit::Limit,
    path::{ForgottenReuse, Path},
    races::{IdleRaces, LostRequest, Races},
};
use crate::{
    matching::{Close, EndedBy, IDLE, Rest},
    model::{KernelNs, Role, Tenure},
};

/// How long a close counts as what the server does, if nothing contradicts it before.
const CLOSES_COUNT_FOR: Duration = Duration::from_hours(24);

/// How many idle closes by clients, one after the other, show that the server does not close first any more, once it
/// has not for [`CLIENTS_FIRST_FOR`] and ten timeouts: a few clients may keep connections for longer than all others.
const CLIENTS_FIRST: u64 = 20;

/// See [`CLIENTS_FIRST`].
const CLIENTS_FIRST_FOR: Duration = Duration::from_mins(5);

/// The resolution of ages: two ticks of the slowest kernel.
const RESOLUTION: Duration = Duration::from_millis(20);

/// What is known of one server.
#[derive(Clone, Debug)]
pub(super) struct ServerProfile {
    /// Inode number of the namespace in which its connections were last seen.
    pub netns: u32,
    /// Closes by the server.
    pub by_server: Closes,
    /// Closes by its clients.
    pub by_client: Closes,
    /// Closes by the server after which it is not certain that the connection was idle: see [`Rest::Perhaps`].
    perhaps: IdleAges,
    /// A request met such a close: its client took the connection to be idle.
    perhaps_raced: bool,
    /// The same server's timeout as the other ends of its connections show it, where those are on this host too.
    pub other_end: Option<Timeout>,
    /// Races after a rest.
    pub idle_races: IdleRaces,
    /// Races right behind a response.
    pub short_races: Races,
    /// All races.
    pub races: u64,
    /// After how many requests it ends connections.
    pub limit: Limit,
    /// Whether something on the way forgets connections.
    pub path: Path,
    /// Reuses of its connections, where they are counted, and those that came close to its timeout.
    pub reuses: Option<Reuses>,
    /// Its clients.
    pub clients: Clients,
    answers: Answers,
    /// For how long it has been heard of.
    pub tenure: Tenure,
    pub last_server_close: Option<KernelNs>,
    /// Idle closes by clients since the server's last one.
    clients_first: u64,
}

/// How often a server's connections were reused since the mark for late reuses was set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reuses {
    /// Every reuse.
    pub count: u64,
    /// Those that came later than the mark.
    pub late: u64,
}

/// Two timeouts that lie so close together that either side may close first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ThinMargin {
    /// The server's.
    pub server: Timeout,
    /// Its clients'.
    pub client: Timeout,
    /// What would have to lie between them, as far as was seen.
    pub needed: Duration,
}

impl ServerProfile {
    /// Nothing is known yet.
    #[must_use]
    pub(super) fn new(now: KernelNs) -> Self {
        Self {
            netns: 0,
            by_server: Closes::new(IdleAges::of_server()),
            by_client: Closes::new(IdleAges::of_clients()),
            perhaps: IdleAges::of_server(),
            perhaps_raced: false,
            other_end: None,
            idle_races: IdleRaces::default(),
            short_races: Races::default(),
            races: 0,
            limit: Limit::default(),
            path: Path::default(),
            reuses: None,
            clients: Clients::None,
            answers: Answers::default(),
            tenure: Tenure::begin(now),
            last_server_close: None,
            clients_first: 0,
        }
    }

    /// Takes the close of a connection with this client.
    pub(super) fn close(&mut self, close: &Close, client: SocketAddr) {
        self.tenure.renew(close.at);
        if close.asked || close.answered {
            self.answers.add(close.answered, close.closed_by() == Some(Role::Client));
            self.clients.add(client.ip());
        }
        if let Some(exchanges) = close.exchanges {
            self.carried(close.at, exchanges);
        }
        match (close.closed_by(), close.rest) {
            (Some(Role::Server), Rest::Idle(idle)) => self.closed_idle(close, idle, client),
            (Some(Role::Server), Rest::Perhaps(idle)) if close.was_kept() => {
                self.perhaps.add(close.at, idle, client.ip());
                if self.believed_perhaps().is_some_and(|timeout| timeout.agrees(idle)) {
                    self.server_was_first(close.at);
                }
            }
            (Some(Role::Server), Rest::BehindResponse) => {
                if let Some(exchanges) = close.exchanges {
                    self.limit.close(close.at, client, exchanges);
                }
            }
            (Some(Role::Client), Rest::Idle(idle)) => {
                self.by_client.add(close, idle, client);
                self.clients_first += u64::from(close.was_kept());
            }
            _ => {}
        }
    }

    fn closed_idle(&mut self, close: &Close, idle: Duration, client: SocketAddr) {
        self.by_server.add(close, idle, client);
        self.server_was_first(close.at);
        if close.ended == EndedBy::Fin {
            self.path.alive(close.at, idle);
        }
    }

    fn server_was_first(&mut self, at: KernelNs) {
        self.last_server_close = Some(at);
        self.clients_first = 0;
    }

    /// Takes a request that met a close.
    pub(super) fn lost_request(&mut self, lost: &LostRequest, client: SocketAddr) {
        self.tenure.renew(lost.at);
        self.races += 1;
        self.clients.add(client.ip());
        self.perhaps_raced |= lost.maybe_last_word;
        if let Some(exchanges) = lost.exchanges {
            self.carried(lost.at, exchanges);
        }
        let Some(rest) = lost.rest else { return };
        if lost.fin_seen {
            self.path.alive(lost.at, rest);
        }
        if rest >= IDLE + lost.round_trip.unwrap_or_default() * 2 {
            self.idle_races.add(*lost, rest, client);
            return;
        }
        self.short_races.add(lost, client);
        if let Some(exchanges) = lost.exchanges.filter(|_| lost.fin_seen) {
            self.limit.lost(lost.at, client, exchanges);
        }
    }

    /// Takes a reuse that was reset, and nothing tells who ended the connection.
    pub(super) fn forgotten_reuse(&mut self, reuse: ForgottenReuse) {
        self.tenure.renew(reuse.at);
        self.path.forgot(reuse);
    }

    fn carried(&mut self, at: KernelNs, exchanges: u32) {
        self.limit.carried(at, exchanges);
        if exchanges > 1 {
            self.path.alive(at, Duration::ZERO);
        }
    }

    /// Takes how often its connections were reused.
    pub(super) fn reused(&mut self, reuses: Reuses, now: KernelNs) {
        self.reuses = Some(reuses);
        if reuses.count > 0 {
            self.path.alive(now, Duration::ZERO);
        }
    }

    /// Lets time pass.
    pub(super) fn advance(&mut self, now: KernelNs) {
        self.by_server.ages.advance(now);
        self.by_client.ages.advance(now);
        self.perhaps.advance(now);
        if let Some(timeout) = self.timeout() {
            self.idle_races.count_for(&timeout);
        }
    }

    /// After how long the server closes idle connections, if that shows.
    #[must_use]
    pub(super) fn timeout(&self) -> Option<Timeout> {
        self.by_server.ages.timeout().or_else(|| self.believed_perhaps())
    }

    /// The same by the closes with a possible last word: where a request met one, or the other end shows the same.
    fn believed_perhaps(&self) -> Option<Timeout> {
        let agrees = |timeout: &Timeout| self.other_end.is_some_and(|other| other.agrees(timeout.lower));
        self.perhaps.timeout().filter(|timeout| self.perhaps_raced || agrees(timeout))
    }

    /// The clients of the closes that show the timeout.
    #[must_use]
    pub(super) fn timeout_clients(&self) -> Clients {
        match self.by_server.ages.timeout() {
            Some(_) => self.by_server.ages.clients(),
            None => self.perhaps.clients(),
        }
    }

    /// What those who judge its connections want to know.
    #[must_use]
    pub(super) fn knowledge(&self) -> Knowledge {
        Knowledge { answers: self.answers.known(), timeout: self.timeout() }
    }

    /// Whether more is known than that it answers, or does not.
    #[must_use]
    pub(super) fn has_evidence(&self) -> bool {
        self.by_server.count + self.by_client.count + self.races + self.path.count > 0
            || self.timeout().is_some()
            || self.limit.requests().is_some()
    }

    /// The server's timeout, while its closes come before its clients'.
    #[must_use]
    pub(super) fn server_closes_first(&self, now: KernelNs) -> Option<Timeout> {
        let timeout = self.timeout()?;
        let last = self.last_server_close?;
        let quiet = now.since(last);
        let clients_first =
            self.clients_first >= CLIENTS_FIRST && quiet >= CLIENTS_FIRST_FOR.max(timeout.lower * 10);
        (quiet < CLOSES_COUNT_FOR && !clients_first).then_some(timeout)
    }

    /// Two timeouts between which less lies than the closes of both sides scatter, while the clients happen to be
    /// first.
    #[must_use]
    pub(super) fn thin_margin(&self, now: KernelNs) -> Option<ThinMargin> {
        let (server, client) = (self.timeout()?, self.by_client.ages.timeout()?);
        let needed = server.jitter + client.jitter + RESOLUTION;
        let overlap = client.upper + needed > server.lower && client.lower < server.upper + needed;
        let told = self.server_closes_first(now).is_some();
        (overlap && !told).then_some(ThinMargin { server, client, needed })
    }

    /// The idle timeout of the clients, where it shows and is not clearly shorter than the server's.
    #[must_use]
    pub(super) fn longer_client_timeout(&self) -> Option<Timeout> {
        let server = self.timeout()?;
        self.by_client
            .ages
            .timeout()
            .filter(|client| client.upper + client.jitter + server.jitter >= server.lower)
    }
}
