//! From the ring's bytes to everything users see, in one direction: decode → match → judge → count, print, keep.

use crate::{
    classify::{Rules, classify},
    decode::decode,
    event::Flow,
    event::Role,
    matched::MatchedReset,
    matcher::{Matcher, Outcome},
    metrics::Metrics,
    output::Output,
    recent::Recent,
    reset::{ResetView, server_endpoint},
    time::{KernelNs, WallClock},
};

/// All state of the daemon; one task owns it.
pub struct Pipeline<'a> {
    matcher: Matcher,
    rules: Rules,
    metrics: &'a Metrics,
    output: Output,
    recent: Recent,
    server_ports: Vec<u16>,
    clock: WallClock,
}

impl<'a> Pipeline<'a> {
    /// Puts the stages together. An empty `server_ports` means all.
    pub fn new(
        matcher: Matcher,
        rules: Rules,
        metrics: &'a Metrics,
        output: Output,
        recent: Recent,
        server_ports: Vec<u16>,
    ) -> Self {
        Self { matcher, rules, metrics, output, recent, server_ports, clock: WallClock::now() }
    }

    /// Takes one record of the ring.
    pub fn record(&mut self, bytes: &[u8]) {
        match decode(bytes, self.rules.jiffy) {
            Ok(event) => {
                self.metrics.event(Some(&event.kind));
                self.matcher.handle(event);
            }
            Err(_) => self.metrics.event(None),
        }
    }

    /// Lets time pass and passes on what is ready.
    pub fn advance(&mut self, now: KernelNs) {
        self.clock = WallClock::now();
        self.matcher.advance(now);
        self.publish();
    }

    /// When [`Self::advance`] next has something to do.
    #[must_use]
    pub fn next_due(&self) -> Option<KernelNs> {
        self.matcher.next_due()
    }

    /// The newest resets, at most `limit`.
    #[must_use]
    pub fn newest(&self, limit: usize) -> Vec<ResetView> {
        self.recent.newest(limit)
    }

    /// Passes on everything, at the end.
    pub fn finish(mut self) {
        self.matcher.flush();
        self.publish();
        self.output.finish();
    }

    fn publish(&mut self) {
        let outcomes: Vec<_> = self.matcher.outcomes().collect();
        for outcome in outcomes {
            match outcome {
                Outcome::Reset(reset) => self.reset(&reset),
                Outcome::Segment { id } => self.recent.add_segment(id),
                Outcome::IdleClose(close) if self.is_wanted(close.role, &close.flow) => {
                    self.metrics.idle_close(&close);
                }
                Outcome::IdleClose(_) => {}
            }
        }
        self.metrics.connections_tracked.set(i64::try_from(self.matcher.connections()).unwrap_or(i64::MAX));
    }

    fn reset(&mut self, reset: &MatchedReset) {
        if !self.is_wanted(reset.role, &reset.flow) {
            return;
        }
        let verdict = classify(reset, &self.rules);
        self.metrics.reset(reset, &verdict);
        let view = ResetView::new(reset, &verdict, self.clock, &self.rules.reasons);
        self.output.print(&view);
        self.recent.push(view);
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
