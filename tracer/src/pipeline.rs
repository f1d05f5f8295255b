//! From the ring's bytes to everything users see, in one direction: decode → match → judge → count, print, keep.

use std::sync::Arc;

use log::info;

use crate::{
    cause::Cause,
    classify::{Rules, classify},
    clock,
    decode::{Malformed, decode},
    event::{Flow, Role},
    fin::IDLE,
    http::Query,
    keepalive::{Fingerprints, Race},
    kernel::requests::{LateMarks, RequestCounters},
    matched::MatchedReset,
    matcher::{Matcher, Outcome},
    metrics::Metrics,
    output::Output,
    recent::Recent,
    recording::Recorder,
    reset::{ResetView, server_endpoint},
    time::{KernelNs, WallClock},
};

/// All state of the daemon; one task owns it.
pub struct Pipeline<'a> {
    /// Joins resets with connections.
    pub matcher: Matcher,
    /// What verdicts depend on.
    pub rules: Rules,
    /// Counts.
    pub metrics: &'a Metrics,
    /// Prints.
    pub output: Output,
    /// Keeps the latest.
    pub recent: Recent,
    /// What the kernel side counts of requests, if it does.
    pub requests: Option<(Arc<RequestCounters>, LateMarks)>,
    /// Infers keep-alive timeouts.
    pub fingerprints: Fingerprints,
    /// Writes down what comes in.
    pub recorder: Option<Recorder>,
    /// Only connections with one of these server ports; all if empty.
    pub server_ports: Vec<u16>,
    /// Tells the time of day.
    pub clock: WallClock,
}

impl Pipeline<'_> {
    /// Takes one record of the ring; one that cannot be read is counted.
    pub fn record(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        if let Some(recorder) = &mut self.recorder {
            recorder.record(bytes);
        }
        let event = decode(bytes, self.rules.jiffy).inspect_err(|_| self.metrics.event(None))?;
        self.metrics.event(Some(&event.kind));
        self.matcher.handle(event);
        Ok(())
    }

    /// Lets time pass and passes on what is ready.
    pub fn advance(&mut self, now: KernelNs) {
        self.clock = clock::wall_clock();
        self.matcher.advance(now);
        self.publish();
        if let Some(recorder) = &mut self.recorder {
            recorder.flush();
        }
    }

    /// When [`Self::advance`] next has something to do.
    #[must_use]
    pub fn next_due(&self) -> Option<KernelNs> {
        self.matcher.next_due()
    }

    /// Answers a question; the one who asked may be gone.
    pub fn answer(&self, query: Query) {
        match query {
            Query::Resets { limit, answer } => drop(answer.send(self.recent.newest(limit))),
            Query::Servers { limit, answer } => drop(answer.send(self.fingerprints.servers(limit))),
            Query::Advice { limit, answer } => {
                drop(answer.send(self.fingerprints.advice(limit, self.clock)));
            }
        }
    }

    /// Passes on everything, at the end.
    pub fn finish(mut self) {
        self.matcher.flush();
        self.publish();
        self.output.finish();
    }

    /// Shows what has come out so far.
    pub fn publish(&mut self) {
        let outcomes: Vec<_> = self.matcher.outcomes().collect();
        for outcome in outcomes {
            match outcome {
                Outcome::Reset(reset) => self.reset(&reset),
                Outcome::Segment { id } => self.recent.add_segment(id),
                Outcome::IdleClose(close) if self.is_wanted(close.role, &close.flow) => {
                    self.metrics.idle_close(&close);
                    self.fingerprints.close(&close);
                }
                Outcome::IdleClose(_) => {}
            }
        }
        self.output.flush();
        self.metrics.connections_tracked.set(i64::try_from(self.matcher.connections()).unwrap_or(i64::MAX));
    }

    fn reset(&mut self, reset: &MatchedReset) {
        if !self.is_wanted(reset.role, &reset.flow) {
            return;
        }
        let verdict = classify(reset, &self.rules);
        self.metrics.reset(reset, &verdict);
        if verdict.cause == Cause::KeepaliveRace {
            // A farewell hides how long the connection was idle, and counts as a response: so a short time says nothing then.
            let rested = verdict.idle.or(verdict.since_response.filter(|&time| time >= IDLE));
            let race = Race {
                at: reset.at,
                rest: rested,
                round_trip: reset.socket.as_ref().and_then(|socket| socket.traffic.srtt),
                requests: reset.requests_before(),
            };
            self.fingerprints.race(reset.role, &reset.flow, &race);
        }
        let view = ResetView::new(reset, &verdict, self.clock, &self.rules.reasons);
        self.output.print(&view);
        self.recent.push(view);
    }

    /// Shows what has been inferred of servers. Unlike [`Self::advance`] this needs no proof that nothing older is to come.
    pub fn review(&mut self, now: KernelNs) {
        self.clock = clock::wall_clock();
        let Some(review) = self.fingerprints.review(now) else { return };
        self.metrics.keepalive(&review);
        if let Some((counters, marks)) = &mut self.requests {
            let late =
                review.timeouts.iter().map(|(&(role, server), known)| (role, server, known.value * 4 / 5));
            self.fingerprints.reuses(&marks.follow(late, counters));
        }
        for sentence in review.told {
            info!("{sentence}");
        }
    }

    /// Whether the connection's server port was asked for; either port may be it where the role is unknown.
    fn is_wanted(&self, role: Role, flow: &Flow) -> bool {
        let listed = |port| self.server_ports.contains(&port);
        self.server_ports.is_empty()
            || match server_endpoint(role, flow.local, flow.remote) {
                Some(server) => listed(server.port()),
                None => listed(flow.local.port()) || listed(flow.remote.port()),
            }
    }
}
