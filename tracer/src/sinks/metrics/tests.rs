use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Barrier},
    thread,
};

use prometheus::{
    Gauge,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use tracer_core::{
    Engine, EngineOptions, Outcome,
    classify::{Cause, RacePolicy},
    model::ServerPorts,
};

use super::{
    families::{
        BuildInfo, Coverage, FailedRequests, Failures, IdleCloses, KeepaliveTimeout, KeepaliveTimeoutSamples,
        ProbeAttached, ProbeMisses, ProbeRunSeconds, ProbeRuns, ResetIdle, ResetRequests, ResetsReceived,
        ResetsSent, SegmentsReceived, SegmentsSent, StandingAdvice,
    },
    family::Labels,
    *,
};
use crate::sources::recording::Recording;

mod labels;

const SERVER: Server = Server::Other;

/// As `--max-series` has it.
const DEFAULT_PLACES: usize = 500;

const NOW: KernelNs = KernelNs(1_000_000_000_000);

/// A metric that takes its time: its scrape is in the middle of gathering from the first to the second meeting.
struct Slow {
    gauge: Gauge,
    meeting: Arc<Barrier>,
}

impl Collector for Slow {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.meeting.wait();
        self.meeting.wait();
        self.gauge.collect()
    }
}

#[test]
fn events_are_counted_while_a_scrape_is_under_way() {
    const SERVERS: u16 = 1000;
    let (mut metrics, mut exposition) = Metrics::new(3 * usize::from(SERVERS));
    let meeting = Arc::new(Barrier::new(2));
    let slow = Slow { gauge: Gauge::new("slow", "Takes its time.").unwrap(), meeting: Arc::clone(&meeting) };
    exposition.registry.register(Box::new(slow)).unwrap();
    let count = |metrics: &mut Metrics| {
        for port in 1..=SERVERS {
            metrics.label((Role::Client, SocketAddr::from(([10, 0, 0, 1], port))), NOW);
            metrics.observe_event(None);
        }
        metrics.publish();
    };

    thread::scope(|scope| {
        let scrape = scope.spawn(|| exposition.render([]).unwrap());
        // Both new series and old ones, while the other thread holds whatever a scrape holds.
        meeting.wait();
        count(&mut metrics);
        count(&mut metrics);
        meeting.wait();
        assert!(scrape.join().unwrap().contains("tracer_events_total"));
    });
    let scrape = thread::spawn(move || exposition.render([]).unwrap());
    meeting.wait();
    meeting.wait();
    let text = scrape.join().unwrap();
    assert!(text.contains("tracer_events_total{event=\"malformed\"} 2000\n"), "{text}");
    let begun = text.lines().filter(|line| line.starts_with("tracer_resets_received_total{")).count();
    assert_eq!(begun, usize::from(SERVERS));
}

#[test]
fn a_servers_races_begin_at_zero_when_it_is_first_seen() {
    let (mut metrics, mut exposition) = Metrics::new(1);
    let server = |port| SocketAddr::from(([10, 0, 0, 1], port));
    assert_eq!(metrics.label((Role::Server, server(80)), NOW), Server::Known(server(80)));
    metrics.publish();
    let text = exposition.render([]).unwrap();
    for mechanism in ["orphan_data", "time_wait", "unread_close"] {
        let series = format!(
            "tracer_resets_sent_total{{cause=\"keepalive_race\",mechanism=\"{mechanism}\",role=\"server\",\
             server=\"10.0.0.1:80\"}} 0\n"
        );
        assert!(text.contains(&series), "{text}");
    }
    for series in [
        "tracer_failures_total{cause=\"keepalive_race\",ended_by=\"fin\",role=\"server\",server=\"10.0.0.1:80\"} 0\n",
        "tracer_failures_total{cause=\"keepalive_race\",ended_by=\"rst\",role=\"server\",server=\"10.0.0.1:80\"} 0\n",
        "tracer_request_read_total{request_read=\"never\",role=\"server\",server=\"10.0.0.1:80\"} 0\n",
    ] {
        assert!(text.contains(series), "no {series} in {text}");
    }
}

/// A race that a server's host saw, as a recording has it.
fn recorded_race() -> ExplainedIncident {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/6.18/unread-close.rec");
    let mut recording = Recording::open(Path::new(path)).unwrap();
    let options = EngineOptions {
        race: RacePolicy::default(),
        server_ports: ServerPorts::default(),
        own_server: None,
        max_closed_connections: 16,
        max_servers: 1,
    };
    let mut engine = Engine::new(recording.header.facts().unwrap(), options);
    while let Some(record) = recording.next_record().unwrap() {
        engine.record(record).unwrap();
    }
    engine.finish();
    let incident = |outcome| match outcome {
        Outcome::Incident(incident) if incident.role() == Some(Role::Server) => Some(*incident),
        _ => None,
    };
    engine.outcomes().into_iter().find_map(incident).unwrap()
}

/// Each family of incidents, and how many were counted in it, after one that ended so.
#[test]
fn a_failure_is_counted_whatever_ended_it_and_a_reset_only_where_there_was_a_rst() {
    let race = recorded_race();
    assert!(matches!(race.verdict.cause, Cause::KeepaliveRace(_)));
    let families = ["failures_total", "request_read_total", "resets_sent_total", "resets_received_total"];
    let histograms = ["reset_idle_seconds_count", "request_to_reset_seconds_count"];
    for (cause, ended, counts) in [
        (race.verdict.cause, race.verdict.ended, [1.0, 1.0, 1.0, 0.0, 1.0, 1.0]),
        (Cause::NeverRead, Ended::ResetReceived, [1.0, 1.0, 0.0, 1.0, 1.0, 1.0]),
        (Cause::AfterResponse, Ended::ResetReceived, [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]),
        (Cause::AwaitingResponse, Ended::FinSent, [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]),
        (Cause::ClientAbort, Ended::FinReceived, [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]),
        (Cause::ConnectionLost, Ended::TimedOut, [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]),
        (Cause::Unreachable, Ended::Unreachable, [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]),
    ] {
        let mut incident = race.clone();
        (incident.verdict.cause, incident.verdict.ended) = (cause, ended);
        let (mut metrics, mut exposition) = Metrics::new(1);
        metrics.observe_incident(&incident);
        metrics.publish();
        let text = exposition.render([]).unwrap();
        let counted = |family: &str| -> f64 {
            let prefix = format!("tracer_{family}{{");
            let series = text.lines().filter(|line| line.starts_with(&prefix));
            series.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
        };
        let found: Vec<_> = families.iter().chain(&histograms).map(|family| counted(family)).collect();
        assert_eq!(found, counts, "{cause:?}, {ended:?}: {text}");
        let failure = format!("cause=\"{}\",ended_by=\"{}\"", cause.name(), ended.by());
        let told = text.lines().any(|line| line.contains(&failure) && line.ends_with(" 1"));
        assert_eq!(told, cause.is_failure(), "{text}");
    }
}

#[test]
fn a_gauge_of_what_stands_is_gone_when_it_falls() {
    let (sender, published) = Publisher::new();
    let mut exposition = Exposition::new(published, Board::default());
    let mut family = Family::new(&sender);
    let labels = KeepaliveTimeout { role: "server", server: SERVER };
    let series = "tracer_keepalive_timeout_seconds{role=\"server\",server=\"other\"} 5\n";
    for (show, shown) in [(true, true), (false, false), (true, true)] {
        let gauge = family.with(labels.clone());
        if show {
            gauge.show(5.0);
        } else {
            gauge.hide();
        }
        assert_eq!(exposition.render([]).unwrap().contains(series), shown);
    }
}

#[test]
fn every_family_is_declared_as_the_format_wants_it() {
    fn check<L: Labels>(labels: L) {
        let (sender, published) = Publisher::new();
        Family::new(&sender).with(labels);
        let mut exposition = Exposition::new(published, Board::default());
        exposition.render([]).unwrap();
    }
    let (role, cause, mechanism, probe) = ("server", "unknown", "unknown", "probe");
    let server = SERVER;
    check(Failures { role, server, cause, ended_by: "fin" });
    check(FailedRequests { role, server, request_read: "never" });
    check(ResetsSent { role, server, cause, mechanism });
    check(ResetsReceived { role, server, cause });
    check(ResetIdle { role, server, cause });
    check(RequestToReset { role, cause });
    check(ResetRequests { direction: "sent", role, server, cause, method: "GET" });
    check(IdleCloses { role, server, closed_by: "server" });
    check(KeepaliveTimeout { role, server });
    check(KeepaliveTimeoutSamples { role, server });
    check(StandingAdvice { role, server, kind: "kind", severity: "notice" });
    check(Unmatched { why: "no_socket" });
    check(Events { event: "fin" });
    check(EventsLost { buffer: "stdout" });
    check(LabelOverflow { label: "server" });
    check(LabelEvictions { label: "server" });
    check(ConnectionsTracked {});
    check(SegmentsSent {});
    check(SegmentsReceived {});
    check(ProbeRuns { probe });
    check(ProbeRunSeconds { probe });
    check(ProbeMisses { probe });
    check(ProbeAttached { probe });
    check(Coverage { path: "active" });
    check(BuildInfo { version: "1", revision: "abc", kernel: "6.18".into() });
}
