//! The series of one server: they come, are counted and go together.

use std::{
    sync::{Arc, mpsc::Receiver},
    time::Duration,
};

use hashbrown::HashSet;
use tracer_core::{
    classify::{Cause, Crossing, Ended, ExplainedIncident, Mechanism, RequestRead},
    keepalive::{Advice, Timeout},
    model::Role,
};

use super::{
    families::{
        FailedRequests, Failures, IdleCloses, KeepaliveTimeout, KeepaliveTimeoutSamples, ResetIdle,
        ResetRequests, ResetsReceived, ResetsSent, StandingAdvice,
    },
    family::{Counted, Family, Labels, Publisher, Series, Standing},
};
use crate::server_labels::Server;

/// How a server ends a connection in a keep-alive race.
const RACE_MECHANISMS: [Mechanism; 3] = [Mechanism::OrphanData, Mechanism::TimeWait, Mechanism::UnreadClose];

/// All series with one value of the label `server`. In those that servers share, roles are mixed.
pub(super) struct ServerSeries {
    failures: Family<Failures>,
    request_read: Family<FailedRequests>,
    resets_sent: Family<ResetsSent>,
    resets_received: Family<ResetsReceived>,
    reset_idle: Family<ResetIdle>,
    reset_requests: Family<ResetRequests>,
    idle_closes: Family<IdleCloses>,
    timeout: Family<KeepaliveTimeout>,
    samples: Family<KeepaliveTimeoutSamples>,
    advice: Family<StandingAdvice>,
    begun: Receiver<Series>,
    /// For whoever is scraped.
    pub(super) all: Arc<[Arc<Series>]>,
    /// The first version of what is scraped in which these are.
    pub(super) since: u64,
}

impl ServerSeries {
    /// There is none yet; the first will be in this version of what is scraped.
    pub(super) fn new(since: u64) -> Self {
        let (publisher, begun) = Publisher::new();
        let publisher = &publisher;
        Self {
            failures: Family::new(publisher),
            request_read: Family::new(publisher),
            resets_sent: Family::new(publisher),
            resets_received: Family::new(publisher),
            reset_idle: Family::new(publisher),
            reset_requests: Family::new(publisher),
            idle_closes: Family::new(publisher),
            timeout: Family::new(publisher),
            samples: Family::new(publisher),
            advice: Family::new(publisher),
            begun,
            all: Arc::new([]),
            since,
        }
    }

    /// Takes up the series that have begun; true if there are any.
    pub(super) fn take_up(&mut self) -> bool {
        let begun: Vec<_> = self.begun.try_iter().map(Arc::new).collect();
        if begun.is_empty() {
            return false;
        }
        self.all = self.all.iter().cloned().chain(begun).collect();
        true
    }

    /// Starts what every server has: the series of its races, and of whether requests were read.
    pub(super) fn start(&mut self, role: Role, server: Server) {
        let cause = Cause::KeepaliveRace(Crossing::Unknown).name();
        match role {
            Role::Client => {
                self.resets_received.with(ResetsReceived { role: role.name(), server, cause });
            }
            Role::Server => {
                for mechanism in RACE_MECHANISMS.map(Mechanism::name) {
                    self.resets_sent.with(ResetsSent { role: role.name(), server, cause, mechanism });
                }
            }
        }
        let role = role.name();
        for ended_by in [Ended::ResetReceived, Ended::FinReceived].map(Ended::by) {
            self.failures.with(Failures { role, server, cause, ended_by });
        }
        for request_read in RequestRead::ALL.map(RequestRead::name) {
            self.request_read.with(FailedRequests { role, server, request_read });
        }
    }

    /// Counts an incident: as a failure, as a reset, or as both.
    pub(super) fn count_incident(&mut self, incident: &ExplainedIncident, server: Server) {
        self.count_failure(incident, server);
        self.count_reset(incident, server);
    }

    fn count_failure(&mut self, incident: &ExplainedIncident, server: Server) {
        let verdict = &incident.verdict;
        if !verdict.cause.is_failure() {
            return;
        }
        let role = Role::label(incident.role());
        let (cause, ended_by) = (verdict.cause.name(), verdict.ended.by());
        self.failures.with(Failures { role, server, cause, ended_by }).add(1);
        let request_read = verdict.request_read.name();
        self.request_read.with(FailedRequests { role, server, request_read }).add(1);
    }

    /// Nothing for what ended without a RST.
    fn count_reset(&mut self, incident: &ExplainedIncident, server: Server) {
        let verdict = &incident.verdict;
        let (role, cause) = (Role::label(incident.role()), verdict.cause.name());
        let direction = match verdict.ended {
            Ended::ResetSent(mechanism) => {
                let mechanism = mechanism.name();
                self.resets_sent.with(ResetsSent { role, server, cause, mechanism }).add(1);
                "sent"
            }
            Ended::ResetReceived => {
                self.resets_received.with(ResetsReceived { role, server, cause }).add(1);
                "received"
            }
            Ended::FinSent | Ended::FinReceived | Ended::TimedOut | Ended::Unreachable => return,
        };
        if let Some(idle) = verdict.idle {
            self.reset_idle.with(ResetIdle { role, server, cause }).observe(idle.as_secs_f64());
        }
        if let Some(method) = incident.method() {
            let method = method.name();
            self.reset_requests.with(ResetRequests { direction, role, server, cause, method }).add(1);
        }
    }

    /// Counts the close of an idle connection.
    pub(super) fn count_idle_close(
        &mut self,
        role: Option<Role>,
        server: Server,
        closed_by: &'static str,
        idle: Duration,
    ) {
        let labels = IdleCloses { role: Role::label(role), server, closed_by };
        self.idle_closes.with(labels).observe(idle.as_secs_f64());
    }

    /// Shows the timeout that is inferred now, or that none is.
    #[expect(clippy::cast_precision_loss, reason = "no server closes 2^53 connections")]
    pub(super) fn show_timeout(&mut self, role: Role, server: Server, timeout: Option<&Timeout>) {
        let role = role.name();
        let [lower, samples] = [
            timeout.map(|timeout| timeout.lower.as_secs_f64()),
            timeout.map(|timeout| timeout.samples as f64),
        ];
        show_only(&mut self.timeout, lower.map(|lower| (KeepaliveTimeout { role, server }, lower)));
        show_only(
            &mut self.samples,
            samples.map(|samples| (KeepaliveTimeoutSamples { role, server }, samples)),
        );
    }

    /// Shows the advice that stands, and no other.
    pub(super) fn show_advice(&mut self, role: Role, server: Server, advice: &[Advice]) {
        let standing = advice.iter().map(|advice| {
            let (kind, severity) = (advice.kind(), advice.severity());
            (StandingAdvice { role: role.name(), server, kind, severity }, 1.0)
        });
        show_only(&mut self.advice, standing);
    }

    /// Takes over what another server's counters came to since they were last scraped: so no failure is lost with it.
    /// What its histograms observed since then is.
    pub(super) fn inherit(&mut self, gone: &Self) {
        let server = Server::Other;
        inherit(&mut self.failures, &gone.failures, |labels| Failures { server, ..labels });
        inherit(&mut self.request_read, &gone.request_read, |labels| FailedRequests { server, ..labels });
        inherit(&mut self.resets_sent, &gone.resets_sent, |labels| ResetsSent { server, ..labels });
        inherit(&mut self.resets_received, &gone.resets_received, |labels| ResetsReceived {
            server,
            ..labels
        });
        inherit(&mut self.reset_requests, &gone.reset_requests, |labels| ResetRequests { server, ..labels });
    }
}

fn inherit<L: Labels<Value = Counted>>(heir: &mut Family<L>, gone: &Family<L>, to: impl Fn(L) -> L) {
    for (labels, counter) in gone.iter() {
        let unseen = counter.unseen();
        if unseen > 0 {
            heir.with(to(labels.clone())).add(unseen);
        }
    }
}

/// Shows these series, and hides all others.
fn show_only<L: Labels<Value = Standing>>(
    family: &mut Family<L>,
    standing: impl IntoIterator<Item = (L, f64)>,
) {
    let mut shown = HashSet::new();
    for (labels, value) in standing {
        family.with(labels.clone()).show(value);
        shown.insert(labels);
    }
    family.iter().filter(|(labels, _)| !shown.contains(*labels)).for_each(|(_, gauge)| gauge.hide());
}
