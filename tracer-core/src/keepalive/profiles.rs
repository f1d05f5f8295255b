//! The profiles of all servers, bounded in number, and the advice that follows from them.

use std::{array, cmp::Reverse, collections::BTreeMap, net::SocketAddr, time::Duration};

use hashbrown::HashMap;

use super::{
    advice::AdviceView,
    ages::Timeout,
    finding::{Advice, Finding, Severity},
    knowledge::Knowledge,
    path::ForgottenReuse,
    profile::{Reuses, ServerProfile},
    races::LostRequest,
    text,
    view::ServerView,
};
use crate::{
    matching::{Close, Rest},
    model::{Flow, KernelNs, Role, Server, WallClock},
};

/// How often what is known is judged at most: nothing of it can be hurried.
const REVIEW_EVERY: Duration = Duration::from_secs(1);

/// How long after an announcement the next one on the same advice can follow, however often it changes.
const ANNOUNCE_AGAIN: Duration = Duration::from_mins(1);

/// All servers that ended connections. Where there is no room, one whose [`Tenure`] is over gives way to a newcomer,
/// the quietest first: before others those of which little is known, and those with advice last of all.
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

/// What a newcomer's connection tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shows {
    /// No more than that it is there, and whether it answers.
    Little,
    /// When it closes connections.
    Evidence,
}

/// What is found of one server, and how bad it is.
type Found = [Option<(Finding, Severity)>; Finding::KINDS];

/// What is said of one kind of finding.
#[derive(Clone, Copy, Debug, Default)]
enum Told {
    /// There is none.
    #[default]
    Nothing,
    /// The other end says it.
    There,
    /// It is said here.
    Here(Finding, Severity),
}

impl Told {
    fn of(role: Role, here: Option<(Finding, Severity)>, there: Option<(Finding, Severity)>) -> Self {
        match (here, there) {
            (None, _) => Self::Nothing,
            (Some((_, here)), Some((_, there)))
                if there > here || (there == here && role == Role::Server) =>
            {
                Self::There
            }
            (Some((finding, severity)), _) => Self::Here(finding, severity),
        }
    }
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

    /// Takes the close of a connection; nothing where it is not known which end the server is.
    pub(crate) fn close(&mut self, close: &Close) {
        let (Some(role), Some(client)) = (close.role, close.client()) else { return };
        let shows = if close.rest == Rest::None { Shows::Little } else { Shows::Evidence };
        if let Some(profile) = self.profile(role, &close.flow, close.at, shows) {
            profile.close(close, client);
        }
    }

    /// Takes a request that met a close; nothing where it is not known which end the server is.
    pub(crate) fn lost_request(&mut self, role: Option<Role>, flow: &Flow, lost: &LostRequest) {
        let Some(role) = role else { return };
        if let Some(profile) = self.profile(role, flow, lost.at, Shows::Evidence) {
            profile.lost_request(lost, flow.client(role));
        }
    }

    /// Takes a reuse that was reset, and nothing tells who ended the connection. Only a client can tell.
    pub(crate) fn forgotten_reuse(&mut self, role: Option<Role>, flow: &Flow, reuse: ForgottenReuse) {
        if role != Some(Role::Client) {
            return;
        }
        if let Some(profile) = self.profile(Role::Client, flow, reuse.at, Shows::Evidence) {
            profile.forgotten_reuse(reuse);
        }
    }

    /// What is known of the server of a connection.
    #[must_use]
    pub(crate) fn knowledge(&self, role: Role, flow: &Flow) -> Knowledge {
        let entry = self.servers.get(&Server::of(role, flow));
        entry.map_or_else(Knowledge::default, |entry| entry.profile.knowledge())
    }

    /// Whether the server of a connection was seen to be one, from either end.
    #[must_use]
    pub(crate) fn know(&self, role: Role, flow: &Flow) -> bool {
        let server = Server::of(role, flow);
        self.servers.contains_key(&server) || self.servers.contains_key(&server.other_end())
    }

    /// The profile of the server of a connection; `None` where there is no place for one.
    fn profile(
        &mut self,
        role: Role,
        flow: &Flow,
        now: KernelNs,
        shows: Shows,
    ) -> Option<&mut ServerProfile> {
        let server = Server::of(role, flow);
        if self.servers.len() >= self.limit && !self.servers.contains_key(&server) {
            let quietest = self.quietest(now, shows)?;
            self.servers.remove(&quietest);
        }
        let new = || Entry { profile: ServerProfile::new(now), advice: Default::default() };
        let profile = &mut self.servers.entry(server).or_insert_with(new).profile;
        profile.netns = flow.netns;
        Some(profile)
    }

    /// The server that has to make room for a newcomer, if one has to.
    fn quietest(&self, now: KernelNs, newcomer: Shows) -> Option<Server> {
        let worth = |entry: &Entry| {
            let tenure = entry.profile.tenure;
            (entry.is_advised(), tenure.lasts(now), entry.profile.has_evidence(), tenure.ends())
        };
        // Of two that are worth the same, always the same one.
        let (server, entry) = self.servers.iter().min_by_key(|(server, entry)| (worth(entry), **server))?;
        let outweighed = newcomer == Shows::Evidence && !entry.profile.has_evidence();
        (outweighed || !entry.profile.tenure.lasts(now)).then_some(*server)
    }

    /// Takes how many reuses of servers' connections there were; what is known of others stays.
    pub(crate) fn reuses(&mut self, found: &BTreeMap<(Role, SocketAddr), Reuses>) {
        for (server, entry) in &mut self.servers {
            if let Some(reuses) = found.get(&(server.role, server.endpoint)) {
                entry.profile.reused(*reuses, self.reviewed);
            }
        }
    }

    /// Judges what is known, once in a while: `None` in between.
    pub(crate) fn review(&mut self, now: KernelNs) -> Option<Review> {
        if now.since(self.reviewed) < REVIEW_EVERY || self.servers.is_empty() {
            return None;
        }
        self.reviewed = now;
        self.exchange_timeouts(now);
        let found = self.found(now);
        let mut review = Review::default();
        let mut contradicted = Vec::new();
        for (server, entry) in &mut self.servers {
            let label = (server.role, server.endpoint);
            if let Some(timeout) = entry.profile.timeout() {
                let known = review.timeouts.entry(label).or_insert(timeout);
                if !known.says_the_same(&timeout) {
                    contradicted.push(label);
                }
            }
            let found = found.get(server).copied().unwrap_or_default();
            for (standing, told) in entry.advice.iter_mut().zip(found) {
                standing.follow(told, now);
                review.announced.extend(standing.announce(server, &entry.profile, now));
                review.advice.extend(standing.advice.map(|advice| (server.role, server.endpoint, advice)));
            }
        }
        review.timeouts.retain(|label, _| !contradicted.contains(label));
        review.announced.sort();
        Some(review)
    }

    /// Lets time pass for all of them, and tells each what the other end shows where that is on this host too.
    fn exchange_timeouts(&mut self, now: KernelNs) {
        for entry in self.servers.values_mut() {
            entry.profile.advance(now);
        }
        let timeout = |(server, entry): (&Server, &Entry)| Some((*server, entry.profile.timeout()?));
        let timeouts: HashMap<Server, Timeout> = self.servers.iter().filter_map(timeout).collect();
        for (server, entry) in &mut self.servers {
            entry.profile.other_end = timeouts.get(&server.other_end()).copied();
        }
    }

    /// What is found of each server. Where both ends of its connections are in one namespace the same thing is said
    /// once: by the end at which it is more severe, else by the clients', to whom both timeouts belong.
    fn found(&self, now: KernelNs) -> HashMap<Server, [Told; Finding::KINDS]> {
        let here = |(server, entry): (&Server, &Entry)| {
            let severe = |finding: Finding| (finding, finding.severity(&entry.profile, server.role, now));
            let found = Finding::all(&entry.profile, now).map(|finding| finding.map(severe));
            (*server, (entry.profile.netns, found))
        };
        let all: HashMap<Server, (u32, Found)> = self.servers.iter().map(here).collect();
        let once = |(server, (netns, found)): (&Server, &(u32, Found))| {
            let other_end = all.get(&server.other_end()).filter(|(other, _)| other == netns);
            let told = array::from_fn(|kind| {
                let there = other_end.and_then(|(_, found)| found[kind]);
                Told::of(server.role, found[kind], there)
            });
            (*server, told)
        };
        all.iter().map(once).collect()
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
        standing.sort_by_key(|(server, known, advice)| (Reverse((advice.severity, known.races)), **server));
        standing
            .into_iter()
            .take(limit)
            .map(|(server, known, advice)| AdviceView::new(server, known, &advice, clock))
            .collect()
    }

    /// At most `limit` servers: those with races first, then those that close most.
    #[must_use]
    pub(crate) fn servers(&self, limit: usize) -> Vec<ServerView> {
        let mut servers: Vec<_> =
            self.servers.iter().filter(|(_, entry)| entry.profile.has_evidence()).collect();
        servers.sort_by_key(|(server, entry)| {
            let known = &entry.profile;
            (Reverse((known.races, known.by_server.count)), **server)
        });
        servers
            .into_iter()
            .take(limit)
            .map(|(server, entry)| ServerView::new(server, &entry.profile))
            .collect()
    }
}

impl Standing {
    /// Takes what is said now.
    fn follow(&mut self, told: Told, now: KernelNs) {
        let since = self.advice.map_or(now, |advice| advice.since);
        self.advice = match told {
            Told::Here(finding, severity) => Some(Advice { finding, severity, since }),
            Told::Nothing | Told::There => None,
        };
        if matches!(told, Told::There) {
            // It has not gone.
            self.announced = None;
        }
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
            (Some(advice), _) => text::sentence(server, known, advice.finding),
            (None, Some(last)) => {
                format!("{}: {} does not show any more", server.endpoint, last.finding.kind())
            }
            (None, None) => return None,
        })
    }
}
