//! The metrics. [`Metrics`] counts, for the one task that owns the state; [`Exposition`] is what is scraped. They share
//! atomics and a channel of new series, and no lock: a scrape never holds up an event.

mod families;
mod family;
mod host;
mod keepalive;
mod process;
mod requests;

use std::{net::SocketAddr, sync::mpsc::Receiver, time::Duration};

use prometheus::{IntCounter, IntGauge, Registry, TextEncoder, proto::MetricFamily};
use tracer_core::{
    classify::{Cause, Crossing, Ended, ExplainedIncident, Mechanism, RequestRead},
    keepalive::Review,
    matching::{self, Close},
    model::{EventName, Role},
};

pub use self::host::{HostMetrics, HostSources};
use self::{
    families::{
        ConnectionsTracked, Events, EventsLost, FailedRequests, Failures, IdleCloses, LabelOverflow,
        RequestToReset, ResetIdle, ResetRequests, ResetsReceived, ResetsSent, Unmatched,
    },
    family::{Family, Publisher, Series, raise},
    keepalive::Keepalive,
};
use crate::server_labels::{Label, Server, Servers};

/// How a server ends a connection in a keep-alive race.
const RACE_MECHANISMS: [Mechanism; 3] = [Mechanism::OrphanData, Mechanism::TimeWait, Mechanism::UnreadClose];

/// Counts. Owned by the task that owns the state.
pub struct Metrics {
    failures: Family<Failures>,
    request_read: Family<FailedRequests>,
    resets_sent: Family<ResetsSent>,
    resets_received: Family<ResetsReceived>,
    reset_idle: Family<ResetIdle>,
    request_to_reset: Family<RequestToReset>,
    reset_requests: Family<ResetRequests>,
    idle_closes: Family<IdleCloses>,
    unmatched: Family<Unmatched>,
    keepalive: Keepalive,
    events: EventCounters,
    lines_lost: IntCounter,
    label_overflow: IntCounter,
    connections_tracked: IntGauge,
    servers: Servers,
    publisher: Publisher,
}

/// Every record is counted: without looking for its series.
struct EventCounters {
    fin: IntCounter,
    close: IntCounter,
    send_reset: IntCounter,
    receive_reset: IntCounter,
    malformed: IntCounter,
}

impl EventCounters {
    fn new(publisher: &Publisher) -> Self {
        let mut events = Family::<Events>::new(publisher);
        let mut counter = |event| events.with(Events { event }).clone();
        Self {
            fin: counter("fin"),
            close: counter("close"),
            send_reset: counter("send_reset"),
            receive_reset: counter("receive_reset"),
            malformed: counter("malformed"),
        }
    }
}

impl Metrics {
    /// The end that counts, and the end that is scraped. At most `max_series` pairs of role and server get a label.
    #[must_use]
    pub fn new(max_series: usize) -> (Self, Exposition) {
        let (sender, receiver) = Publisher::new();
        let publisher = &sender;
        let mut unmatched = Family::<Unmatched>::new(publisher);
        // What can be known in advance starts at 0, so that its first increase shows in rates.
        for why in matching::Unmatched::ALL {
            unmatched.with(Unmatched { why: why.name() });
        }
        let metrics = Self {
            failures: Family::new(publisher),
            request_read: Family::new(publisher),
            resets_sent: Family::new(publisher),
            resets_received: Family::new(publisher),
            reset_idle: Family::new(publisher),
            request_to_reset: Family::new(publisher),
            reset_requests: Family::new(publisher),
            idle_closes: Family::new(publisher),
            unmatched,
            keepalive: Keepalive::new(publisher),
            events: EventCounters::new(publisher),
            lines_lost: Family::new(publisher).with(EventsLost { buffer: "stdout" }).clone(),
            label_overflow: Family::new(publisher).with(LabelOverflow { label: "server" }).clone(),
            connections_tracked: Family::new(publisher).with(ConnectionsTracked {}).clone(),
            servers: Servers::new(max_series),
            publisher: publisher.clone(),
        };
        (metrics, Exposition { registry: Registry::new(), published: receiver })
    }

    /// Counts a record from the ring; `None` is one that could not be decoded.
    pub fn observe_event(&self, name: Option<EventName>) {
        let counter = match name {
            Some(EventName::Fin) => &self.events.fin,
            Some(EventName::Close) => &self.events.close,
            Some(EventName::SendReset) => &self.events.send_reset,
            Some(EventName::ReceiveReset) => &self.events.receive_reset,
            None => &self.events.malformed,
        };
        counter.inc();
    }

    /// Counts an incident: as a failure, as a reset, or as both.
    pub fn observe_incident(&mut self, incident: &ExplainedIncident) {
        let server = self.counted_server(incident.role(), incident.server());
        self.observe_failure(incident, server);
        self.observe_reset(incident, server);
    }

    fn observe_failure(&mut self, incident: &ExplainedIncident, server: Server) {
        let verdict = &incident.verdict;
        if !verdict.cause.is_failure() {
            return;
        }
        let role = Role::label(incident.role());
        let (cause, ended_by) = (verdict.cause.name(), verdict.ended.by());
        self.failures.with(Failures { role, server, cause, ended_by }).inc();
        let request_read = verdict.request_read.name();
        self.request_read.with(FailedRequests { role, server, request_read }).inc();
    }

    /// Nothing for what ended without a RST.
    fn observe_reset(&mut self, incident: &ExplainedIncident, server: Server) {
        let verdict = &incident.verdict;
        let (role, cause) = (Role::label(incident.role()), verdict.cause.name());
        let direction = match verdict.ended {
            Ended::ResetSent(mechanism) => {
                let mechanism = mechanism.name();
                self.resets_sent.with(ResetsSent { role, server, cause, mechanism }).inc();
                "sent"
            }
            Ended::ResetReceived => {
                self.resets_received.with(ResetsReceived { role, server, cause }).inc();
                "received"
            }
            Ended::FinSent | Ended::FinReceived | Ended::TimedOut | Ended::Unreachable => return,
        };
        if let Some(idle) = verdict.idle {
            self.reset_idle.with(ResetIdle { role, server, cause }).observe(idle.as_secs_f64());
        }
        if let Some(time) = verdict.request_to_reset {
            self.request_to_reset.with(RequestToReset { role, cause }).observe(time.as_secs_f64());
        }
        if let Some(method) = incident.method() {
            let method = method.name();
            self.reset_requests.with(ResetRequests { direction, role, server, cause, method }).inc();
        }
        if let Some(why) = incident.unmatched() {
            self.unmatched.with(Unmatched { why: why.name() }).inc();
        }
    }

    /// Counts the close of an idle connection; nothing where it is not known which side is the server.
    pub fn observe_idle_close(&mut self, close: &Close, idle: Duration) {
        let Some(by) = close.closed_by() else { return };
        let server = self.counted_server(close.role, close.server());
        let labels = IdleCloses { role: Role::label(close.role), server, closed_by: by.name() };
        self.idle_closes.with(labels).observe(idle.as_secs_f64());
    }

    /// Shows the timeouts that are inferred now, and the advice that stands.
    pub fn show_review(&mut self, review: &Review) {
        self.keepalive.show(review, &self.servers);
    }

    /// Shows how many connections are remembered.
    pub fn show_connections(&self, connections: usize) {
        self.connections_tracked.set(i64::try_from(connections).unwrap_or(i64::MAX));
    }

    /// Counts lines that stdout did not take; `total` is of all time.
    pub fn count_lines_lost(&self, total: u64) {
        raise(&self.lines_lost, total);
    }

    /// The label of a server. What is known of its failures in advance starts at 0 when it is first seen, so that the
    /// first one shows in rates.
    pub fn label(&mut self, role: Role, server: SocketAddr) -> Server {
        match self.servers.label(role, server) {
            Label::Old(server) => server,
            Label::New(server) => {
                self.start(role, server);
                server
            }
        }
    }

    fn counted_server(&mut self, role: Option<Role>, server: Option<SocketAddr>) -> Server {
        let Some((role, server)) = role.zip(server) else { return Server::Unknown };
        let server = self.label(role, server);
        if server == Server::Other {
            self.label_overflow.inc();
        }
        server
    }

    /// Starts the series that every server has: those of its races, and of whether requests were read.
    fn start(&mut self, role: Role, server: Server) {
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
}

/// What is scraped: every series that was published so far.
pub struct Exposition {
    registry: Registry,
    published: Receiver<Series>,
}

impl Exposition {
    /// The text format, with these families besides.
    pub fn render(&mut self, others: impl IntoIterator<Item = MetricFamily>) -> prometheus::Result<String> {
        for series in self.published.try_iter() {
            self.registry.register(series)?;
        }
        let mut families = self.registry.gather();
        // A family without a metric is an error to the encoder.
        families.extend(others.into_iter().filter(|family| !family.get_metric().is_empty()));
        TextEncoder::new().encode_to_string(&families)
    }
}

#[cfg(test)]
mod tests;
