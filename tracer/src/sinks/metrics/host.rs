//! What a daemon's scrape shows besides what its events came to: the kernel side's counters, and the process itself.

use std::time::Duration;

use hashbrown::HashMap;
use log::debug;
use prometheus::{IntCounter, proto::MetricFamily};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    Exposition, Metrics,
    families::{
        BuildInfo, Coverage, EventsLost, ProbeAttached, ProbeMisses, ProbeRunSeconds, ProbeRuns,
        SegmentsReceived, SegmentsSent,
    },
    family::{Family, Publisher, raise},
    process::{OwnProcess, Process},
    requests::RequestSeries,
};
use crate::{
    kernel::{ProbeReport, counters::KernelCounters, programs::Loaded, requests::RequestCounters},
    query::{Heard, Query},
    server_labels::{Endpoint, Server},
};

/// How long a scrape waits for the labels of servers with requests. Without them it shows what the one before did.
const LABEL_TIMEOUT: Duration = Duration::from_secs(1);

/// All metrics of a daemon, collected for one scrape at a time.
pub struct HostMetrics {
    exposition: Exposition,
    process: Process,
    counters: KernelCounters,
    loaded: Vec<Loaded>,
    requests: Option<(RequestCounters, RequestSeries)>,
    queries: mpsc::Sender<Query>,
    segments_sent: IntCounter,
    segments_received: IntCounter,
    events_lost: IntCounter,
    probe_runs: Family<ProbeRuns>,
    probe_run_seconds: Family<ProbeRunSeconds>,
    probe_misses: Family<ProbeMisses>,
}

/// Where its numbers come from.
pub struct HostSources {
    /// The kernel side's own counters.
    pub counters: KernelCounters,
    /// The programs of the attached probes.
    pub loaded: Vec<Loaded>,
    /// What the kernel side counts of requests, if it does.
    pub requests: Option<RequestCounters>,
    /// The process itself.
    pub process: OwnProcess,
    /// The way to the task that owns the state.
    pub queries: mpsc::Sender<Query>,
}

impl HostMetrics {
    /// Adds what the host has to what `metrics` counts. `report` and `kernel` are said once.
    pub fn new(
        metrics: &Metrics,
        exposition: Exposition,
        sources: HostSources,
        report: &ProbeReport,
        kernel: String,
    ) -> prometheus::Result<Self> {
        let publisher = &metrics.publisher;
        describe(publisher, report, kernel);
        let HostSources { counters, loaded, requests, process, queries } = sources;
        Ok(Self {
            process: Process::register(&exposition.registry, process)?,
            exposition,
            counters,
            loaded,
            requests: requests.map(|counters| (counters, RequestSeries::default())),
            queries,
            segments_sent: Family::new(publisher).with(SegmentsSent {}).clone(),
            segments_received: Family::new(publisher).with(SegmentsReceived {}).clone(),
            events_lost: Family::new(publisher).with(EventsLost { buffer: "events" }).clone(),
            probe_runs: Family::new(publisher),
            probe_run_seconds: Family::new(publisher),
            probe_misses: Family::new(publisher),
        })
    }

    /// The text format, with everything as it is now.
    pub async fn collect(&mut self) -> prometheus::Result<String> {
        self.count_kernel_side();
        self.process.refresh();
        // Before the rest: a server that is labelled here starts series there.
        let requests = self.requests().await;
        self.exposition.render(requests)
    }

    fn count_kernel_side(&mut self) {
        let mut counts = self.counters.read().inspect_err(|error| debug!("{error:#}")).ok();
        for program in &self.loaded {
            let (probe, Some(stats)) = (program.name, program.stats()) else { continue };
            raise(self.probe_runs.with(ProbeRuns { probe }), stats.runs);
            raise(self.probe_misses.with(ProbeMisses { probe }), stats.misses);
            let seconds = self.probe_run_seconds.with(ProbeRunSeconds { probe });
            seconds.inc_by((stats.run_time.as_secs_f64() - seconds.get()).max(0.0));
            if let Some(counts) = &mut counts {
                counts.add_missed(program, &stats);
            }
        }
        if let Some(counts) = counts {
            raise(&self.segments_sent, counts.segments_sent);
            raise(&self.segments_received, counts.segments_received);
            raise(&self.events_lost, counts.events_lost);
        }
    }

    async fn requests(&mut self) -> Vec<MetricFamily> {
        let Some((counters, series)) = &mut self.requests else { return Vec::new() };
        let counted = counters.read();
        if let Some(labels) = ask_for_labels(&self.queries, series.heard_of(&counted)).await {
            for (role, server) in series.take(&counted, &labels) {
                counters.forget(role, server);
            }
        }
        series.families().into()
    }
}

/// The labels that the task that owns the state gives to servers with requests; `None` while it is busy.
async fn ask_for_labels(
    queries: &mpsc::Sender<Query>,
    servers: Vec<(Endpoint, Heard)>,
) -> Option<HashMap<Endpoint, Server>> {
    let (answer, answered) = oneshot::channel();
    queries.try_send(Query::Labels { servers: servers.clone(), answer }).ok()?;
    let labels = timeout(LABEL_TIMEOUT, answered).await.ok()?.ok()?;
    Some(servers.into_iter().map(|(server, _)| server).zip(labels).collect())
}

/// States once what was attached, what this kernel lets us see, and what this build is.
fn describe(publisher: &Publisher, report: &ProbeReport, kernel: String) {
    let mut attached = Family::new(publisher);
    for probe in &report.probes {
        attached.with(ProbeAttached { probe: probe.name }).set(i64::from(probe.attached()));
    }
    let mut coverage = Family::new(publisher);
    for (path, covered) in report.coverage() {
        coverage.with(Coverage { path }).set(i64::from(covered));
    }
    let (version, revision) = (env!("CARGO_PKG_VERSION"), env!("TRACER_REVISION"));
    Family::new(publisher).with(BuildInfo { version, revision, kernel }).set(1);
}
