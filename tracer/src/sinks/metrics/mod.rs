//! Every exported metric: its name, help and unit stand where it is made.

mod keepalive;
mod process;
mod register;
mod requests;
mod servers;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use prometheus::{CounterVec, HistogramVec, IntCounter, IntCounterVec, IntGauge, Registry, TextEncoder};
use tracer_common::RequestTotals;
use tracer_core::{
    classify::{Cause, Crossing, Direction, ExplainedIncident, Mechanism},
    keepalive::{IDLE_BUCKETS, Review},
    matching::{IdleClose, Unmatched},
    model::{EventName, Role},
};

use self::{
    keepalive::Keepalive,
    process::Process,
    register::{counter, counters, gauges, histograms, int_gauge, probe_run_seconds},
    servers::{Label, Servers},
};
use crate::kernel::{Counts, ProbeReport, programs::RunStats, requests::Counted};

/// From a loopback's round trip to the usual request timeouts.
const REQUEST_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.0105, 0.0255, 0.0505, 0.105, 0.255, 0.505, 1.05, 5.05, 30.5, 60.5];

/// The events that reach user space, as label values.
const EVENTS: [&str; 5] = ["fin", "close", "send_reset", "receive_reset", "malformed"];

/// All metrics. Cheap to update from the one task that owns the state, read by scrapes at any time.
pub struct Metrics {
    registry: Registry,
    resets_sent: IntCounterVec,
    resets_received: IntCounterVec,
    reset_idle: HistogramVec,
    request_to_reset: HistogramVec,
    reset_requests: IntCounterVec,
    idle_close: HistogramVec,
    keepalive: Keepalive,
    unmatched: IntCounterVec,
    /// One for each of [`EVENTS`].
    events: [IntCounter; EVENTS.len()],
    /// Resets that were not printed because stdout did not keep up.
    pub lines_lost: IntCounter,
    label_overflow: IntCounter,
    /// Connections remembered to explain later resets.
    pub connections_tracked: IntGauge,
    segments_sent: IntCounter,
    segments_received: IntCounter,
    events_lost: IntCounter,
    probe_runs: IntCounterVec,
    probe_run_seconds: CounterVec,
    process: Process,
    servers: Mutex<Servers>,
    /// Counters kept elsewhere are brought up to date by one scrape at a time.
    refreshing: Mutex<()>,
}

impl Metrics {
    /// Registers everything; `max_series` bounds the pairs of role and server.
    pub fn new(max_series: usize) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let lost = counters(
            &registry,
            "tracer_events_lost_total",
            "Events that a full buffer could not take: records between kernel and tracer, lines on stdout.",
            &["buffer"],
        )?;
        let events = counters(
            &registry,
            "tracer_events_total",
            "Records that the kernel side delivered.",
            &["event"],
        )?;
        let metrics = Self {
            resets_sent: counters(
                &registry,
                "tracer_resets_sent_total",
                "Connections that this host reset, one for each connection however many RST segments it took.",
                &["role", "server", "cause", "mechanism"],
            )?,
            resets_received: counters(
                &registry,
                "tracer_resets_received_total",
                "Connections that the other end reset.",
                &["role", "server", "cause"],
            )?,
            reset_idle: histograms(
                &registry,
                "tracer_reset_idle_seconds",
                "How long a connection had been idle before the last request, for reset connections.",
                &["role", "server", "cause"],
                &IDLE_BUCKETS,
            )?,
            request_to_reset: histograms(
                &registry,
                "tracer_request_to_reset_seconds",
                "Time from the last request to the reset.",
                &["role", "cause"],
                &REQUEST_BUCKETS,
            )?,
            reset_requests: counters(
                &registry,
                "tracer_reset_requests_total",
                "Resets whose last request is known, with --http, by its method.",
                &["direction", "role", "server", "cause", "method"],
            )?,
            idle_close: histograms(
                &registry,
                "tracer_idle_close_seconds",
                "How long a connection with no request open had been idle when one side closed it; \
                 at least 0.05 s.",
                &["role", "server", "closed_by"],
                &IDLE_BUCKETS,
            )?,
            keepalive: Keepalive::register(&registry)?,
            unmatched: counters(
                &registry,
                "tracer_resets_unmatched_total",
                "Resets that belong to no connection the tracer could know, by the reason why.",
                &["why"],
            )?,
            events: EVENTS.map(|event| events.with_label_values(&[event])),
            lines_lost: lost.with_label_values(&["stdout"]),
            label_overflow: counters(
                &registry,
                "tracer_label_overflow_total",
                "Observations counted under server=\"other\" because --max-series was reached.",
                &["label"],
            )?
            .with_label_values(&["server"]),
            connections_tracked: int_gauge(
                &registry,
                "tracer_connections_tracked",
                "Closed or closing connections remembered to explain later resets.",
            )?,
            segments_sent: counter(
                &registry,
                "tracer_rst_segments_sent_total",
                "RST segments sent, counted in the kernel.",
            )?,
            segments_received: counter(
                &registry,
                "tracer_rst_segments_received_total",
                "RST segments that ended a socket, counted in the kernel.",
            )?,
            events_lost: lost.with_label_values(&["events"]),
            probe_runs: counters(
                &registry,
                "tracer_probe_runs_total",
                "Runs of each eBPF program, while the kernel's BPF statistics are on.",
                &["probe"],
            )?,
            probe_run_seconds: probe_run_seconds(&registry)?,
            process: Process::register(&registry)?,
            servers: Mutex::new(Servers::new(max_series)),
            refreshing: Mutex::new(()),
            registry,
        };
        metrics.start_known_series();
        Ok(metrics)
    }

    /// What can be known in advance starts at 0, so that its first increase shows in rates.
    fn start_known_series(&self) {
        for why in Unmatched::ALL {
            self.unmatched.with_label_values(&[why.name()]);
        }
    }

    /// States once what was attached, what this kernel lets us see, and what this build is.
    pub fn describe(&self, report: &ProbeReport, kernel: &str) -> prometheus::Result<()> {
        let attached = gauges(
            &self.registry,
            "tracer_probe_attached",
            "Whether a probe is attached (1) or could not be (0).",
            &["probe"],
        )?;
        for probe in &report.probes {
            attached.with_label_values(&[probe.name]).set(i64::from(probe.attached()));
        }
        let coverage = gauges(
            &self.registry,
            "tracer_coverage",
            "Whether this kernel lets the tracer see the resets sent on a path (1) or not (0).",
            &["path"],
        )?;
        for (path, covered) in report.coverage() {
            coverage.with_label_values(&[path]).set(i64::from(covered));
        }
        gauges(
            &self.registry,
            "tracer_build_info",
            "Always 1; the labels tell what runs here.",
            &["version", "revision", "kernel"],
        )?
        .with_label_values(&[env!("CARGO_PKG_VERSION"), env!("TRACER_REVISION"), kernel])
        .set(1);
        Ok(())
    }

    /// Counts a record from the ring; `None` is one that could not be decoded.
    pub fn event(&self, name: Option<EventName>) {
        let [fin, close, send_reset, receive_reset, malformed] = &self.events;
        let counter = match name {
            Some(EventName::Fin) => fin,
            Some(EventName::Close) => close,
            Some(EventName::SendReset) => send_reset,
            Some(EventName::ReceiveReset) => receive_reset,
            None => malformed,
        };
        counter.inc();
    }

    /// Counts a reset.
    pub fn observe_reset(&self, reset: &ExplainedIncident) {
        let verdict = &reset.verdict;
        let (role, cause) = (Role::label(reset.role()), verdict.cause.name());
        let mut servers = self.servers();
        let server = self.server_label(&mut servers, reset.role(), reset.server());
        match verdict.direction {
            Direction::Sent(mechanism) => {
                self.resets_sent.with_label_values(&[role, server, cause, mechanism.name()]).inc();
            }
            Direction::Received => self.resets_received.with_label_values(&[role, server, cause]).inc(),
        }
        if let Some(idle) = verdict.idle {
            self.reset_idle.with_label_values(&[role, server, cause]).observe(idle.as_secs_f64());
        }
        if let Some(time) = verdict.request_to_reset {
            self.request_to_reset.with_label_values(&[role, cause]).observe(time.as_secs_f64());
        }
        if let Some(method) = reset.method() {
            let labels = [verdict.direction.name(), role, server, cause, method.name()];
            self.reset_requests.with_label_values(&labels).inc();
        }
        if let Some(why) = reset.unmatched() {
            self.unmatched.with_label_values(&[why.name()]).inc();
        }
    }

    /// Counts the close of an idle connection; nothing where it is not known which side is the server.
    pub fn idle_close(&self, close: &IdleClose) {
        let Some(by) = close.closed_by() else { return };
        let mut servers = self.servers();
        let server = self.server_label(&mut servers, close.role, close.server());
        self.idle_close
            .with_label_values(&[Role::label(close.role), server, by.name()])
            .observe(close.idle.as_secs_f64());
    }

    /// Shows the timeouts that are inferred now, and the advice that stands.
    pub fn keepalive(&self, review: &Review) {
        self.keepalive.show(review, &self.servers());
    }

    /// The label of a server. A server's races start at 0 when it is first seen, so that the first one counts.
    fn server_label<'a>(
        &self,
        servers: &'a mut Servers,
        role: Option<Role>,
        server: Option<SocketAddr>,
    ) -> &'a str {
        let label = self.label(servers, role, server);
        if label.overflow {
            self.label_overflow.inc();
        }
        label.value
    }

    fn label<'a>(
        &self,
        servers: &'a mut Servers,
        role: Option<Role>,
        server: Option<SocketAddr>,
    ) -> Label<'a> {
        let label = servers.label(role, server);
        if let Some(role) = role.filter(|_| label.first) {
            self.start_races(role, label.value);
        }
        label
    }

    fn servers(&self) -> MutexGuard<'_, Servers> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start_races(&self, role: Role, server: &str) {
        let race = Cause::KeepaliveRace(Crossing::Unknown).name();
        match role {
            Role::Client => {
                self.resets_received.with_label_values(&[role.name(), server, race]);
            }
            Role::Server => {
                for mechanism in [Mechanism::OrphanData, Mechanism::TimeWait, Mechanism::UnreadClose] {
                    self.resets_sent.with_label_values(&[role.name(), server, race, mechanism.name()]);
                }
            }
        }
    }

    /// Takes over the kernel's own numbers of a probe.
    pub fn probe_ran(&self, probe: &str, stats: &RunStats) {
        let _one_at_a_time = self.refreshing.lock();
        raise(&self.probe_runs.with_label_values(&[probe]), stats.runs);
        let seconds = self.probe_run_seconds.with_label_values(&[probe]);
        seconds.inc_by((stats.run_time.as_secs_f64() - seconds.get()).max(0.0));
    }

    /// The text format, with the kernel's counts as they are now.
    pub fn render(
        &self,
        counts: Option<Counts>,
        requests: Option<&BTreeMap<Counted, RequestTotals>>,
    ) -> prometheus::Result<String> {
        {
            let _one_at_a_time = self.refreshing.lock();
            if let Some(counts) = counts {
                raise(&self.segments_sent, counts.segments_sent);
                raise(&self.segments_received, counts.segments_received);
                raise(&self.events_lost, counts.events_lost);
            }
            self.process.refresh();
        }
        // Before the rest is gathered: a server that is first seen here starts series there.
        let requests = requests.map(|requests| {
            let mut servers = self.servers();
            requests::families(requests, |role, server| {
                self.label(&mut servers, Some(role), Some(server)).value.to_owned()
            })
        });
        let mut families = self.registry.gather();
        families.extend(requests.into_iter().flatten());
        // A family without a metric is an error to the encoder.
        families.retain(|family| !family.get_metric().is_empty());
        TextEncoder::new().encode_to_string(&families)
    }
}

/// Brings a counter up to a total that is kept elsewhere and only grows.
fn raise(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}
