//! The core as one machine: records and time go in, outcomes come out.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use crate::{
    classify::{Cause, Context, Ended, ExplainedIncident, RacePolicy, RequestRead, Told, classify},
    decode::{KernelFacts, Malformed, decode},
    keepalive::{AdviceView, ForgottenReuse, LostRequest, Reuses, Review, ServerProfiles, ServerView},
    matching::{Close, EndedBy, IDLE, Incident, Matched, Matcher},
    model::{Event, EventName, KernelNs, OwnServer, Role, ServerPorts, WallClock},
    told::ToldLately,
};

/// What the engine is to do.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// When a reset without a FIN can still be a race.
    pub race: RacePolicy,
    /// The servers whose connections are selected.
    pub server_ports: ServerPorts,
    /// The server whose connections are left out: our own.
    pub own_server: Option<OwnServer>,
    /// Upper bound on the closed connections remembered to explain later resets.
    pub max_closed_connections: usize,
    /// Upper bound on the servers that have a profile of their own.
    pub max_servers: usize,
}

/// What comes of records and time.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The end of a connection, and what it meant.
    Incident(Box<ExplainedIncident>),
    /// Another RST segment for an incident that came out before.
    FurtherSegment {
        /// The incident's number.
        id: u64,
    },
    /// A connection was closed by FIN while it was idle for so long.
    IdleClose(Close, Duration),
}

/// All that is known of the host's connections, and what follows from it.
#[derive(Debug)]
pub struct Engine {
    facts: KernelFacts,
    race: RacePolicy,
    server_ports: ServerPorts,
    own_server: Option<OwnServer>,
    matcher: Matcher,
    profiles: ServerProfiles,
    told: ToldLately,
    outcomes: Vec<Outcome>,
    filtered: u64,
}

impl Engine {
    /// An engine that has seen nothing yet.
    #[must_use]
    pub fn new(facts: KernelFacts, options: EngineOptions) -> Self {
        Self {
            matcher: Matcher::new(facts.watched_since, options.max_closed_connections),
            profiles: ServerProfiles::new(options.max_servers),
            told: ToldLately::default(),
            race: options.race,
            server_ports: options.server_ports,
            own_server: options.own_server,
            facts,
            outcomes: Vec::new(),
            filtered: 0,
        }
    }

    /// Takes a record as it stands in the ring.
    pub fn record(&mut self, bytes: &[u8]) -> Result<EventName, Malformed> {
        let event = decode(bytes, self.facts.jiffy)?;
        let name = event.kind.name();
        self.event(event);
        Ok(name)
    }

    /// Takes an event. One that is not selected goes no further: nothing of it is remembered.
    pub(crate) fn event(&mut self, event: Event) {
        let is_own = self.own_server.is_some_and(|own| own.serves(&event.flow));
        if is_own || !self.server_ports.include(&event.flow, event.kind.role()) {
            self.filtered += 1;
            return;
        }
        self.matcher.handle(event);
        self.explain();
    }

    /// Lets time pass: nothing older than `now` is to come.
    pub fn advance(&mut self, now: KernelNs) {
        self.matcher.advance(now);
        self.explain();
    }

    /// When [`Self::advance`] next has something to do.
    #[must_use]
    pub fn next_due(&self) -> Option<KernelNs> {
        self.matcher.next_due()
    }

    /// Passes on everything that still waits, at the end.
    pub fn finish(&mut self) {
        self.matcher.flush();
        self.explain();
    }

    /// Takes out what came of records and time so far, in order.
    pub fn outcomes(&mut self) -> Vec<Outcome> {
        std::mem::take(&mut self.outcomes)
    }

    /// Judges what is known of servers, at most once a second: `None` in between. Unlike [`Self::advance`] this needs
    /// no proof that nothing older is to come.
    pub fn review(&mut self, now: KernelNs) -> Option<Review> {
        self.profiles.review(now)
    }

    /// Takes how often servers' connections were reused; what is known of other servers stays.
    pub fn reuses(&mut self, found: &BTreeMap<(Role, SocketAddr), Reuses>) {
        self.profiles.reuses(found);
    }

    /// At most `limit` pieces of the advice that stands, the most severe first.
    #[must_use]
    pub fn advice(&self, limit: usize, clock: WallClock) -> Vec<AdviceView> {
        self.profiles.advice(limit, clock)
    }

    /// At most `limit` servers: those with races first, then those that close most.
    #[must_use]
    pub fn servers(&self, limit: usize) -> Vec<ServerView> {
        self.profiles.servers(limit)
    }

    /// How many connections are remembered.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.matcher.remembered()
    }

    /// How many events were of servers that are not selected.
    #[must_use]
    pub fn filtered(&self) -> u64 {
        self.filtered
    }

    /// Makes outcomes of what the matcher passes on.
    fn explain(&mut self) {
        let matched: Vec<_> = self.matcher.matched().collect();
        for matched in matched {
            match matched {
                Matched::FurtherSegment { id } => self.outcomes.push(Outcome::FurtherSegment { id }),
                Matched::Close(close) => {
                    self.profiles.close(&close);
                    let idle = close.idle().map(|idle| Outcome::IdleClose(close, idle));
                    self.outcomes.extend(idle);
                }
                // An event may not tell the role, which decides whether the connection is selected.
                Matched::Incident { incident, .. }
                    if !self.server_ports.include(&incident.flow, incident.role) => {}
                Matched::Incident { id, incident, twin } => self.incident(id, incident, twin.as_deref()),
            }
        }
    }

    /// Judges the end of a connection; it comes out unless it was no incident, or was told before.
    fn incident(&mut self, id: u64, incident: Incident, twin: Option<&Incident>) {
        let end = incident.join_by().zip(incident.role);
        if let Some((earlier, Told { cause: Some(_), .. })) =
            end.and_then(|(id, role)| self.told.get(id, role))
        {
            let further = (0..incident.segments).map(|_| Outcome::FurtherSegment { id: earlier });
            return self.outcomes.extend(further);
        }
        let other = end.and_then(|(id, role)| self.told.get(id, role.other())).map(|(_, told)| told);
        let knowledge =
            incident.role.map(|role| self.profiles.knowledge(role, &incident.flow)).unwrap_or_default();
        let context = Context { facts: &self.facts, policy: self.race, knowledge };
        let verdict = classify(&incident, twin, other, context);
        if let Some((connection, role)) = end {
            let told = Told {
                cause: verdict.as_ref().map(|verdict| verdict.cause),
                request_read: verdict.as_ref().map_or(RequestRead::Unknown, |verdict| verdict.request_read),
            };
            self.told.note(incident.at, connection, role, id, told);
        }
        let Some(verdict) = verdict else { return };
        let knows_both = twin.is_some() || other.is_some();
        let server_known = incident.role.is_some_and(|role| self.profiles.know(role, &incident.flow));
        let explained = ExplainedIncident::new(id, incident, verdict, knows_both, server_known, &self.facts);
        learn(&mut self.profiles, &explained);
        self.outcomes.push(Outcome::Incident(Box::new(explained)));
    }
}

/// Tells the server's profile what an incident shows of the server.
fn learn(profiles: &mut ServerProfiles, reset: &ExplainedIncident) {
    let ExplainedIncident { incident, verdict, .. } = reset;
    let (role, flow) = (incident.role, &incident.flow);
    match verdict.cause {
        Cause::KeepaliveRace(_) => profiles.lost_request(role, flow, &lost_request(reset)),
        Cause::ResetOnReuse => {
            if let Some(rest) = verdict.idle.filter(|_| !incident.server_fin_seen()) {
                let exchanges = incident.requests_before();
                profiles.forgotten_reuse(role, flow, ForgottenReuse { at: incident.at, rest, exchanges });
            }
        }
        Cause::AfterResponse => {
            if let Some(close) = verdict.since_response.and_then(|rest| Close::by_reset(incident, rest)) {
                profiles.close(&close);
            }
        }
        _ => {}
    }
}

/// The request that a keep-alive race cost.
fn lost_request(reset: &ExplainedIncident) -> LostRequest {
    let ExplainedIncident { incident, verdict, .. } = reset;
    // A last word hides how long the connection was idle, and counts as a response: a short time says nothing then. If
    // it was one, the rest is at least that of the close.
    let before_last_word = incident.fin.and_then(|fin| Some(fin.at.since(fin.maybe_rest_since?)));
    let since_response = verdict.since_response.filter(|&time| time >= IDLE);
    LostRequest {
        at: incident.at,
        rest: verdict.idle.or(before_last_word).or(since_response),
        round_trip: incident.socket().and_then(|socket| socket.traffic.srtt),
        exchanges: incident.requests_before(),
        fin_seen: incident.server_fin_seen(),
        maybe_last_word: before_last_word.is_some(),
        ended: match verdict.ended {
            Ended::FinSent | Ended::FinReceived => EndedBy::Fin,
            _ => EndedBy::Reset,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Side, SocketKind},
        testing::{RCV_NXT, active, at, facts, fin, flow, ms, passive, request, server},
    };

    fn engine(server_ports: &[u16]) -> Engine {
        let options = EngineOptions {
            race: RacePolicy::default(),
            server_ports: ServerPorts::new(server_ports.to_vec()),
            own_server: None,
            max_closed_connections: 16,
            max_servers: 1,
        };
        Engine::new(facts(), options)
    }

    #[test]
    fn an_event_of_another_server_is_counted_and_not_remembered() {
        // The server's port is 80; the client's is 40000.
        for (ports, connections, filtered, outcomes) in
            [(&[][..], 1, 0, 1), (&[80], 1, 0, 1), (&[443], 0, 1, 0), (&[40_000], 0, 1, 0)]
        {
            let mut engine = engine(ports);
            engine.event(at(3_000, fin(Side::Local, server())));
            let found = (engine.connections(), engine.filtered(), engine.outcomes().len());
            assert_eq!(found, (connections, filtered, outcomes), "{ports:?}");
        }
    }

    #[test]
    fn an_event_without_a_role_passes_with_either_port_and_what_it_belongs_to_decides() {
        for (ports, filtered, outcomes) in [(&[][..], 0, 1), (&[80], 0, 1), (&[443], 1, 0), (&[40_000], 0, 0)]
        {
            let mut engine = engine(ports);
            // Only the matcher knows that a listener is a server.
            engine.event(at(3_000, passive(SocketKind::Listener, request(0), "TCP_FLAGS")));
            engine.finish();
            assert_eq!((engine.filtered(), engine.outcomes().len()), (filtered, outcomes), "{ports:?}");
        }
    }

    #[test]
    fn connections_of_the_tracers_own_server_are_counted_and_not_remembered() {
        let closed = at(3_000, fin(Side::Local, server()));
        for (port, connections, filtered) in [(80, 0, 1), (443, 1, 0)] {
            let mut engine = engine(&[]);
            let listens = SocketAddr::new(closed.flow.local.ip(), port);
            engine.own_server = Some(OwnServer { netns: closed.flow.netns, listens });
            engine.event(closed.clone());
            assert_eq!((engine.connections(), engine.filtered()), (connections, filtered), "{port}");
        }
    }

    #[test]
    fn a_server_that_closes_by_rst_at_one_age_has_a_timeout_and_answers() {
        let mut engine = engine(&[]);
        for port in 0..10 {
            let began = 10_000 * u64::from(port);
            let mut idle = server();
            idle.traffic.first_snd_seq += u32::from(port);
            idle.traffic.last_received = ms(began);
            idle.traffic.last_sent = ms(began + 10);
            let mut reset = at(began + 4_010, active(idle, "TCP_ABORT_ON_LINGER"));
            reset.flow = flow(40_000 + port);
            engine.event(reset);
        }
        engine.finish();
        engine.review(ms(200_000));
        let closed = engine.outcomes().iter().filter(|out| matches!(out, Outcome::IdleClose(..))).count();
        assert_eq!(closed, 0, "the metric is of FINs");
        let known = engine.profiles.knowledge(Role::Server, &flow(1));
        assert_eq!(known.answers, Some(true));
        assert!(known.agrees(Duration::from_secs(4)), "{known:?}");
        assert!(!known.agrees(Duration::from_secs(3)));
    }

    #[test]
    fn a_last_word_hides_no_timeout_and_looks_like_no_limit() {
        let mut engine = engine(&[]);
        for port in 0..12 {
            let began = 10_000 * u64::from(port);
            // Three queries, answered; 2 s later an error packet of 110 bytes and the FIN; and a query that meets it.
            let mut closing = server();
            closing.traffic.first_snd_seq += u32::from(port);
            closing.traffic.last_received = ms(began);
            closing.traffic.last_sent = ms(began + 2_000);
            closing.traffic.unacknowledged = 110;
            (closing.traffic.segments_received, closing.traffic.segments_sent) = (3, 4);
            let met = passive(SocketKind::TimeWait { rcv_nxt: RCV_NXT }, request(1), "TCP_TIMEWAIT_SOCKET");
            for mut event in [at(began + 2_001, fin(Side::Local, closing)), at(began + 2_003, met)] {
                event.flow = flow(40_000 + port);
                engine.event(event);
            }
        }
        engine.finish();
        engine.review(ms(200_000));
        let known = engine.profiles.knowledge(Role::Server, &flow(1));
        assert!(known.agrees(Duration::from_secs(2)), "{known:?}");
        let advice = engine.advice(10, WallClock::new(Duration::ZERO));
        let found: Vec<_> = advice.iter().map(|advice| (advice.kind, advice.evidence.races)).collect();
        assert_eq!(found, [("server_closes_first", 12)]);
    }
}
