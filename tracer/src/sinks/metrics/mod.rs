//! The metrics. [`Metrics`] counts, for the one task that owns the state; [`Exposition`] is what is scraped. They share
//! atomics and lists of the series there are, and no lock: a scrape never holds up an event.

mod exposition;
mod families;
mod family;
mod host;
mod process;
mod requests;
mod server_series;

use std::{sync::Arc, time::Duration};

use hashbrown::HashMap;
use prometheus::{IntCounter, IntGauge};
use tracer_core::{
    classify::{Ended, ExplainedIncident},
    keepalive::{Advice, Review},
    matching::{self, Close},
    model::{EventName, KernelNs, Role},
};

use self::{
    exposition::Board,
    families::{
        ConnectionsTracked, Events, EventsLost, LabelEvictions, LabelOverflow, RequestToReset, Unmatched,
    },
    family::{Family, Publisher, raise},
    server_series::ServerSeries,
};
pub use self::{
    exposition::Exposition,
    host::{HostMetrics, HostSources},
    process::OwnProcess,
};
use crate::{
    query::Heard,
    server_labels::{Endpoint, Room, Server, Servers},
};

/// Counts. Owned by the task that owns the state.
pub struct Metrics {
    /// The series of servers that have a label of their own.
    servers: Servers<ServerSeries>,
    /// The series of all others.
    shared: ServerSeries,
    /// Servers whose series ended and may begin again once this version of the list was scraped.
    gone: HashMap<Endpoint, u64>,
    board: Board,
    /// The number of the list's latest version.
    version: u64,
    /// There is a newer one to put up.
    changed: bool,
    request_to_reset: Family<RequestToReset>,
    unmatched: Family<Unmatched>,
    events: EventCounters,
    lines_lost: IntCounter,
    /// While there is a recording.
    records_lost: Option<IntCounter>,
    label_overflow: IntCounter,
    label_evictions: IntCounter,
    connections_tracked: IntGauge,
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
        let board = Board::default();
        let exposition = Exposition::new(receiver, board.clone());
        let mut unmatched = Family::<Unmatched>::new(publisher);
        // What can be known in advance starts at 0, so that its first increase shows in rates.
        for why in matching::Unmatched::ALL {
            unmatched.with(Unmatched { why: why.name() });
        }
        let metrics = Self {
            servers: Servers::new(max_series),
            shared: ServerSeries::new(0),
            gone: HashMap::new(),
            board,
            version: 0,
            changed: false,
            request_to_reset: Family::new(publisher),
            unmatched,
            events: EventCounters::new(publisher),
            lines_lost: Family::new(publisher).with(EventsLost { buffer: "stdout" }).clone(),
            records_lost: None,
            label_overflow: Family::new(publisher).with(LabelOverflow { label: "server" }).clone(),
            label_evictions: Family::new(publisher).with(LabelEvictions { label: "server" }).clone(),
            connections_tracked: Family::new(publisher).with(ConnectionsTracked {}).clone(),
            publisher: publisher.clone(),
        };
        (metrics, exposition)
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
        let role = incident.role();
        let server = match role.zip(incident.server()) {
            Some(server) if incident.shows_server() => self.counted_label(server, incident.at()),
            Some(server) if self.servers.renew(server, incident.at()) => Server::Known(server.1),
            Some(_) => Server::Other,
            None => Server::Unknown,
        };
        self.count(role, server, |series| series.count_incident(incident, server));
        if !matches!(incident.verdict.ended, Ended::ResetSent(_) | Ended::ResetReceived) {
            return;
        }
        if let Some(time) = incident.verdict.request_to_reset {
            let (role, cause) = (Role::label(role), incident.verdict.cause.name());
            self.request_to_reset.with(RequestToReset { role, cause }).observe(time.as_secs_f64());
        }
        if let Some(why) = incident.unmatched() {
            self.unmatched.with(Unmatched { why: why.name() }).inc();
        }
    }

    /// Counts the close of an idle connection; nothing where it is not known which side is the server.
    pub fn observe_idle_close(&mut self, close: &Close, idle: Duration) {
        let Some(by) = close.closed_by() else { return };
        let server = close.role.zip(close.server());
        let server = server.map_or(Server::Unknown, |server| self.counted_label(server, close.at));
        self.count(close.role, server, |series| {
            series.count_idle_close(close.role, server, by.name(), idle);
        });
    }

    /// Shows the timeouts that are inferred now, and the advice that stands. Servers without a label of their own are
    /// left out.
    pub fn show_review(&mut self, review: &Review) {
        let mut advice = HashMap::<Endpoint, Vec<Advice>>::new();
        for &(role, server, standing) in &review.advice {
            advice.entry((role, server)).or_default().push(standing);
        }
        for (server, series) in self.servers.iter_mut() {
            let (role, label) = (server.0, Server::Known(server.1));
            series.show_timeout(role, label, review.timeouts.get(&server));
            series.show_advice(role, label, advice.get(&server).map_or(&[], Vec::as_slice));
            self.changed |= series.take_up();
        }
    }

    /// Shows how many connections are remembered.
    pub fn show_connections(&self, connections: usize) {
        self.connections_tracked.set(i64::try_from(connections).unwrap_or(i64::MAX));
    }

    /// Counts lines that stdout did not take; `total` is of all time.
    pub fn count_lines_lost(&self, total: u64) {
        raise(&self.lines_lost, total);
    }

    /// Counts records that a recording does not have; `total` is of all time.
    pub fn count_records_lost(&mut self, total: u64) {
        let publisher = &self.publisher;
        let lost = || Family::new(publisher).with(EventsLost { buffer: "recording" }).clone();
        raise(self.records_lost.get_or_insert_with(lost), total);
    }

    /// Lets a scrape see which series there are now.
    pub fn publish(&mut self) {
        if !self.changed {
            return;
        }
        self.changed = false;
        self.version += 1;
        let servers = self.servers.iter_mut().map(|(_, series)| Arc::clone(&series.all));
        self.board.put_up(self.version, servers.chain([Arc::clone(&self.shared.all)]).collect());
        let scraped = self.board.scraped();
        self.gone.retain(|_, &mut version| version > scraped);
    }

    /// The label of a server that is heard of. What is known of its failures in advance starts at 0 when it is first
    /// seen, so that the first one shows in rates.
    pub(crate) fn label(&mut self, server: Endpoint, now: KernelNs) -> Server {
        let label = Server::Known(server.1);
        if self.servers.renew(server, now) {
            return label;
        }
        // Its series would seem to start over: they have to be missing from a scrape before.
        if self.gone.get(&server).is_some_and(|&version| version > self.board.scraped()) {
            return Server::Other;
        }
        match self.servers.make_room(now) {
            Room::None => return Server::Other,
            Room::Made(server, series) => self.end(server, &series),
            Room::Free => {}
        }
        let series = self.servers.settle(server, now, ServerSeries::new(self.version + 1));
        series.start(server.0, label);
        series.take_up();
        self.changed = true;
        label
    }

    /// The labels of many servers, in their order. Those that have one keep it before newcomers get theirs.
    pub(crate) fn labels(&mut self, servers: &[(Endpoint, Heard)], now: KernelNs) -> Vec<Server> {
        let heard = || servers.iter().filter(|(_, heard)| *heard == Heard::Now).map(|(server, _)| *server);
        for server in heard() {
            self.servers.renew(server, now);
        }
        for server in heard() {
            self.label(server, now);
        }
        let label = |(server, _): &(Endpoint, Heard)| match self.servers.get(*server) {
            Some(_) => Server::Known(server.1),
            None => Server::Other,
        };
        servers.iter().map(label).collect()
    }

    /// Ends the series of a server.
    fn end(&mut self, server: Endpoint, series: &ServerSeries) {
        self.label_evictions.inc();
        self.shared.inherit(series);
        self.shared.take_up();
        if series.since <= self.board.scraped() {
            self.gone.insert(server, self.version + 1);
        }
    }

    fn counted_label(&mut self, server: Endpoint, now: KernelNs) -> Server {
        let label = self.label(server, now);
        if label == Server::Other {
            self.label_overflow.inc();
        }
        label
    }

    /// Counts in the series of a label.
    fn count(&mut self, role: Option<Role>, server: Server, count: impl FnOnce(&mut ServerSeries)) {
        let own = match (role, server) {
            (Some(role), Server::Known(server)) => self.servers.get_mut((role, server)),
            _ => None,
        };
        let series = own.unwrap_or(&mut self.shared);
        count(series);
        self.changed |= series.take_up();
    }
}

#[cfg(test)]
mod tests;
