//! The fingerprints of all servers, bounded in number, and the advice that follows from them.

use std::{cmp::Reverse, collections::BTreeMap, net::SocketAddr, time::Duration};

use hashbrown::HashMap;

use super::{
    advice::{self, Advice, AdviceView, Finding, Severity},
    idle_ages::{Timeout, agree},
    profile::{Fingerprint, Race, Server, ServerView},
};
use crate::{
    classify::explained::server_endpoint,
    keepalive::profile::Reuses,
    matching::matcher::IdleClose,
    model::event::{Flow, Role},
    model::time::{KernelNs, WallClock},
};

/// What is known is judged this often at the most: nothing of it can be hurried.
const REVIEW: Duration = Duration::from_secs(1);

/// One server's advice is told again only after this long, however often it changes.
const TELL_AGAIN: Duration = Duration::from_mins(1);

/// All servers that closed idle connections or raced with requests. The one that was quiet the longest makes room
/// for a new one, of those without advice if there are any; the metrics count that as label overflow.
#[derive(Debug)]
pub struct Fingerprints {
    servers: HashMap<Server, Entry>,
    limit: usize,
    reviewed: KernelNs,
}

#[derive(Debug)]
struct Entry {
    fingerprint: Fingerprint,
    advice: [Standing; Finding::KINDS],
}

impl Entry {
    fn is_advised(&self) -> bool {
        self.advice.iter().any(|standing| standing.advice.is_some())
    }
}

/// One kind of advice on one server, and what was last told of it.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    advice: Option<Advice>,
    told: Option<(Option<Advice>, KernelNs)>,
}

/// What a review found.
#[derive(Debug, Default)]
pub struct Review {
    /// Every timeout that is inferred, for its role and server. Namespaces that contradict one another show none.
    pub timeouts: HashMap<(Role, SocketAddr), Timeout>,
    /// Every advice that stands.
    pub advice: Vec<(Role, SocketAddr, Advice)>,
    /// Sentences on what appeared, changed or went since it was last told.
    pub told: Vec<String>,
}

impl Fingerprints {
    /// Knows no server yet, and `limit` at the most.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { servers: HashMap::new(), limit: limit.max(1), reviewed: KernelNs::default() }
    }

    /// Takes the close of an idle connection.
    pub fn close(&mut self, close: &IdleClose) {
        if let Some(known) = self.server(close.role, &close.flow, close.at) {
            known.close(close);
        }
    }

    /// Takes a keep-alive race.
    pub fn race(&mut self, role: Role, flow: &Flow, race: &Race) {
        if let Some(known) = self.server(role, flow, race.at) {
            known.race(race);
        }
    }

    fn server(&mut self, role: Role, flow: &Flow, now: KernelNs) -> Option<&mut Fingerprint> {
        let endpoint = server_endpoint(role, flow.local, flow.remote)?;
        let netns = endpoint.ip().is_loopback().then_some(flow.netns);
        let server = Server { role, endpoint, netns };
        if self.servers.len() >= self.limit && !self.servers.contains_key(&server) {
            let worth = |entry: &Entry| (entry.is_advised(), entry.fingerprint.touched);
            let quietest = self.servers.iter().min_by_key(|(_, entry)| worth(entry));
            if let Some(quietest) = quietest.map(|(server, _)| *server) {
                self.servers.remove(&quietest);
            }
        }
        let new = || Entry { fingerprint: Fingerprint::new(now), advice: Default::default() };
        Some(&mut self.servers.entry(server).or_insert_with(new).fingerprint)
    }

    /// Takes how many reuses of servers' connections there were; what is known of others stays.
    pub fn reuses(&mut self, found: &BTreeMap<(Role, SocketAddr), Reuses>) {
        for (server, entry) in &mut self.servers {
            if let Some(reuses) = found.get(&(server.role, server.endpoint)) {
                entry.fingerprint.reuses = Some(*reuses);
            }
        }
    }

    /// Judges what is known, once in a while: `None` in between.
    pub fn review(&mut self, now: KernelNs) -> Option<Review> {
        if now.since(self.reviewed) < REVIEW || self.servers.is_empty() {
            return None;
        }
        self.reviewed = now;
        let mut review = Review::default();
        let mut contradicted = Vec::new();
        for (server, entry) in &mut self.servers {
            let label = (server.role, server.endpoint);
            entry.fingerprint.settle(now);
            if let Some(timeout) = entry.fingerprint.by_server.ages.timeout() {
                let known = review.timeouts.entry(label).or_insert(timeout);
                if !agree(known.value, timeout.value) {
                    contradicted.push(label);
                }
            }
            for (standing, finding) in entry.advice.iter_mut().zip(Finding::all(&entry.fingerprint, now)) {
                standing.follow(finding, &entry.fingerprint, now);
                review.told.extend(standing.tell(server, &entry.fingerprint, now));
                review.advice.extend(standing.advice.map(|advice| (server.role, server.endpoint, advice)));
            }
        }
        review.timeouts.retain(|label, _| !contradicted.contains(label));
        Some(review)
    }

    /// At most `limit` pieces of the advice that stands, the most severe first.
    #[must_use]
    pub fn advice(&self, limit: usize, clock: WallClock) -> Vec<AdviceView> {
        let mut standing: Vec<_> = self
            .servers
            .iter()
            .flat_map(|(server, entry)| {
                let advice = entry.advice.iter().filter_map(|standing| standing.advice);
                advice.map(move |advice| (server, &entry.fingerprint, advice))
            })
            .collect();
        standing.sort_by_key(|(server, known, advice)| {
            (Reverse((advice.severity, known.races)), server.endpoint, server.role)
        });
        standing
            .into_iter()
            .take(limit)
            .map(|(server, known, advice)| AdviceView::new(server, known, &advice, clock))
            .collect()
    }

    /// At most `limit` servers: those with races first, then those that close most.
    #[must_use]
    pub fn servers(&self, limit: usize) -> Vec<ServerView> {
        let mut servers: Vec<_> = self.servers.iter().collect();
        servers.sort_by_key(|(server, entry)| {
            let known = &entry.fingerprint;
            (Reverse((known.races, known.by_server.count)), server.endpoint, server.role)
        });
        servers
            .into_iter()
            .take(limit)
            .map(|(server, entry)| ServerView::new(server, &entry.fingerprint))
            .collect()
    }
}

impl Standing {
    /// Takes what is found now.
    fn follow(&mut self, finding: Option<Finding>, known: &Fingerprint, now: KernelNs) {
        let since = self.advice.map_or(now, |advice| advice.since);
        self.advice = finding.map(|finding| {
            let raced = finding.races(known).lately(now);
            Advice { finding, severity: if raced { Severity::Warning } else { Severity::Notice }, since }
        });
    }

    /// A sentence, when there is news that was not told a moment ago.
    fn tell(&mut self, server: &Server, known: &Fingerprint, now: KernelNs) -> Option<String> {
        let (last, at) = self.told.unwrap_or((None, KernelNs::default()));
        let same = match (last, self.advice) {
            (None, None) => true,
            (Some(last), Some(advice)) => last.says_the_same(&advice),
            _ => false,
        };
        if same || (self.told.is_some() && now.since(at) < TELL_AGAIN) {
            return None;
        }
        self.told = Some((self.advice, now));
        Some(match (self.advice, last) {
            (Some(advice), _) => advice::sentence(server, known, advice.finding),
            (None, Some(last)) => {
                format!("{}: {} does not show any more", server.endpoint, last.finding.kind())
            }
            (None, None) => return None,
        })
    }
}
