//! The profiles of all servers, bounded in number, and the advice that follows from them.

use std::{cmp::Reverse, collections::BTreeMap, net::SocketAddr, time::Duration};

use hashbrown::HashMap;

use super::{
    advice::{self, AdviceView},
    finding::{Advice, Finding, Severity},
    idle_ages::{Timeout, agree},
    profile::{LostRequest, Reuses, ServerProfile, ServerView},
};
use crate::{
    classify::Knowledge,
    matching::IdleClose,
    model::{Flow, KernelNs, Role, Server, WallClock},
};

/// How often what is known is judged at most: nothing of it can be hurried.
const REVIEW_EVERY: Duration = Duration::from_secs(1);

/// How long after an announcement the next one on the same advice can follow, however often it changes.
const ANNOUNCE_AGAIN: Duration = Duration::from_mins(1);

/// All servers that closed idle connections or raced with requests. The one that was quiet the longest makes room
/// for a new one, of those without advice if there are any; the metrics count that as label overflow.
#[derive(Debug)]
pub(crate) struct ServerProfiles {
    servers: HashMap<Server, Entry>,
    limit: usize,
    reviewed: KernelNs,
}

#[derive(Debug)]
struct Entry {
    profile: ServerProfile,
    advice: [Standing; Finding::KINDS],
}

impl Entry {
    fn is_advised(&self) -> bool {
        self.advice.iter().any(|standing| standing.advice.is_some())
    }
}

/// One kind of advice on one server, and what was last announced of it.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    advice: Option<Advice>,
    announced: Option<(Option<Advice>, KernelNs)>,
}

/// What a review found.
#[derive(Debug, Default)]
pub struct Review {
    /// Every timeout that is inferred, for its role and server. Namespaces that contradict one another show none.
    pub timeouts: HashMap<(Role, SocketAddr), Timeout>,
    /// Every advice that stands.
    pub advice: Vec<(Role, SocketAddr, Advice)>,
    /// Sentences on what appeared, changed or went since it was last announced.
    pub announced: Vec<String>,
}

impl ServerProfiles {
    /// No server is known yet, and `limit` at most will be.
    #[must_use]
    pub(crate) fn new(limit: usize) -> Self {
        Self { servers: HashMap::new(), limit: limit.max(1), reviewed: KernelNs::default() }
    }

    /// Takes the close of an idle connection; nothing where it is not known which end the server is.
    pub(crate) fn close(&mut self, close: &IdleClose) {
        if let Some(role) = close.role {
            self.profile(Server::of(role, &close.flow), close.at).close(close);
        }
    }

    /// Takes a request that met a close; nothing where it is not known which end the server is.
    pub(crate) fn lost_request(&mut self, role: Option<Role>, flow: &Flow, lost: &LostRequest) {
        if let Some(role) = role {
            self.profile(Server::of(role, flow), lost.at).lost_request(lost);
        }
    }

    /// What the profile of a connection's server tells.
    pub(crate) fn knowledge(&self, role: Role, flow: &Flow) -> Knowledge {
        let known = self.servers.get(&Server::of(role, flow)).map(|entry| &entry.profile);
        let timeout = known.and_then(|known| known.by_server.ages.timeout());
        Knowledge { answers: None, timeout: timeout.map(|timeout| (timeout.value, timeout.value)) }
    }

    fn profile(&mut self, server: Server, now: KernelNs) -> &mut ServerProfile {
        if self.servers.len() >= self.limit && !self.servers.contains_key(&server) {
            let worth = |entry: &Entry| (entry.is_advised(), entry.profile.touched);
            let quietest = self.servers.iter().min_by_key(|(_, entry)| worth(entry));
            if let Some(quietest) = quietest.map(|(server, _)| *server) {
                self.servers.remove(&quietest);
            }
        }
        let new = || Entry { profile: ServerProfile::new(now), advice: Default::default() };
        &mut self.servers.entry(server).or_insert_with(new).profile
    }

    /// Takes how many reuses of servers' connections there were; what is known of others stays.
    pub(crate) fn reuses(&mut self, found: &BTreeMap<(Role, SocketAddr), Reuses>) {
        for (server, entry) in &mut self.servers {
            if let Some(reuses) = found.get(&(server.role, server.endpoint)) {
                entry.profile.reuses = Some(*reuses);
            }
        }
    }

    /// Judges what is known, once in a while: `None` in between.
    pub(crate) fn review(&mut self, now: KernelNs) -> Option<Review> {
        if now.since(self.reviewed) < REVIEW_EVERY || self.servers.is_empty() {
            return None;
        }
        self.reviewed = now;
        let mut review = Review::default();
        let mut contradicted = Vec::new();
        for (server, entry) in &mut self.servers {
            let label = (server.role, server.endpoint);
            entry.profile.advance(now);
            if let Some(timeout) = entry.profile.by_server.ages.timeout() {
                let known = review.timeouts.entry(label).or_insert(timeout);
                if !agree(known.value, timeout.value) {
                    contradicted.push(label);
                }
            }
            for (standing, finding) in entry.advice.iter_mut().zip(Finding::all(&entry.profile, now)) {
                standing.follow(finding, &entry.profile, now);
                review.announced.extend(standing.announce(server, &entry.profile, now));
                review.advice.extend(standing.advice.map(|advice| (server.role, server.endpoint, advice)));
            }
        }
        review.timeouts.retain(|label, _| !contradicted.contains(label));
        Some(review)
    }

    /// At most `limit` pieces of the advice that stands, the most severe first.
    #[must_use]
    pub(crate) fn advice(&self, limit: usize, clock: WallClock) -> Vec<AdviceView> {
        let mut standing: Vec<_> = self
            .servers
            .iter()
            .flat_map(|(server, entry)| {
                let advice = entry.advice.iter().filter_map(|standing| standing.advice);
                advice.map(move |advice| (server, &entry.profile, advice))
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
    pub(crate) fn servers(&self, limit: usize) -> Vec<ServerView> {
        let mut servers: Vec<_> = self.servers.iter().collect();
        servers.sort_by_key(|(server, entry)| {
            let known = &entry.profile;
            (Reverse((known.races, known.by_server.count)), server.endpoint, server.role)
        });
        servers
            .into_iter()
            .take(limit)
            .map(|(server, entry)| ServerView::new(server, &entry.profile))
            .collect()
    }
}

impl Standing {
    /// Takes what is found now.
    fn follow(&mut self, finding: Option<Finding>, known: &ServerProfile, now: KernelNs) {
        let since = self.advice.map_or(now, |advice| advice.since);
        self.advice = finding.map(|finding| {
            let raced = finding.races(known).recently(now);
            Advice { finding, severity: if raced { Severity::Warning } else { Severity::Notice }, since }
        });
    }

    /// A sentence, when there is news that was not announced a moment ago.
    fn announce(&mut self, server: &Server, known: &ServerProfile, now: KernelNs) -> Option<String> {
        let (last, at) = self.announced.unwrap_or((None, KernelNs::default()));
        let same = match (last, self.advice) {
            (None, None) => true,
            (Some(last), Some(advice)) => last.says_the_same(&advice),
            _ => false,
        };
        if same || (self.announced.is_some() && now.since(at) < ANNOUNCE_AGAIN) {
            return None;
        }
        self.announced = Some((self.advice, now));
        Some(match (self.advice, last) {
            (Some(advice), _) => advice::sentence(server, known, advice.finding),
            (None, Some(last)) => {
                format!("{}: {} does not show any more", server.endpoint, last.finding.kind())
            }
            (None, None) => return None,
        })
    }
}
