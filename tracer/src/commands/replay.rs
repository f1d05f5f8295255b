//! `tracer replay`: a recording through the very same stages as live events, and what it tells of servers at the end.

use std::{
    fmt,
    io::{self, Write as _},
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use tracer_core::{
    Engine, EngineOptions,
    classify::RacePolicy,
    keepalive::{AdviceView, Timeout},
    model::{KernelNs, Role, ServerPorts, WallClock},
};

use crate::{
    config::{Replay, SinkOptions},
    pipeline::Pipeline,
    sources::recording::{Recording, time_of},
    writer::WhenFull,
};

/// Connections remembered while replaying: as many as a live tracer has by default.
const MAX_CLOSED_CONNECTIONS: usize = 65_536;

/// Servers told apart while replaying: likewise.
const MAX_SERVERS: usize = 500;

/// How long after the last record closes are judged: by then all that belong together are there.
const AFTER_THE_LAST: Duration = Duration::from_secs(1);

/// Prints every incident of a recording, then timeouts and advice. Fails at the end when something in it could not be
/// read.
pub fn run(replay: &Replay) -> Result<()> {
    let recording = Recording::open(&replay.file)?;
    let options = EngineOptions {
        race: RacePolicy { window: replay.race_window },
        server_ports: ServerPorts::default(),
        own_server: None,
        max_closed_connections: MAX_CLOSED_CONNECTIONS,
        max_servers: MAX_SERVERS,
    };
    let engine = Engine::new(recording.header.facts()?, options);
    let sinks = SinkOptions { events: replay.events, recent: 0, max_series: MAX_SERVERS, record: None };
    let clock = WallClock::new(Duration::from_nanos(recording.header.boot_ns));
    let (mut pipeline, mut exposition) =
        Pipeline::start(engine, &sinks, WhenFull::Wait, clock).context("cannot start a thread")?;
    let replayed = feed(recording, &mut pipeline);
    pipeline.stdout.finish(Instant::now());
    if replay.metrics {
        let text = exposition.render([])?;
        io::stdout().write_all(text.as_bytes()).context("cannot print the metrics")?;
    }
    replayed
}

fn feed(mut recording: Recording<impl io::BufRead>, pipeline: &mut Pipeline) -> Result<()> {
    let mut malformed = 0_u64;
    let mut now = KernelNs::default();
    let ended = loop {
        match recording.next_record() {
            Ok(Some(bytes)) => match pipeline.record(bytes) {
                Ok(()) => now = now.max(time_of(bytes).unwrap_or_default()),
                Err(_) => malformed += 1,
            },
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
        pipeline.publish();
        // Judged as time passes: advice says since when it stands.
        let _ = pipeline.review(now);
    };
    pipeline.finish();
    summarize(pipeline, now.plus(AFTER_THE_LAST));
    ended?;
    ensure!(malformed == 0, "{malformed} records of the recording make no sense and were passed over");
    Ok(())
}

/// Prints the timeouts that are inferred and the advice that stands.
fn summarize(pipeline: &mut Pipeline, now: KernelNs) {
    let timeouts = pipeline.review(now).map(|review| review.timeouts).unwrap_or_default();
    let mut timeouts: Vec<_> = timeouts.into_iter().collect();
    timeouts.sort_by_key(|&(server, _)| server);
    for ((role, server), timeout) in timeouts {
        pipeline.stdout.print(&Summary::Timeout(TimeoutView::new(role, server, timeout)));
    }
    for advice in pipeline.engine.advice(MAX_SERVERS, pipeline.clock) {
        pipeline.stdout.print(&Summary::Advice(Box::new(advice)));
    }
}

/// A line after the incidents: as JSON an object whose only field tells it from them.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Summary {
    Timeout(TimeoutView),
    Advice(Box<AdviceView>),
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(timeout) => write!(f, "timeout: {timeout}"),
            Self::Advice(advice) => write!(f, "advice: {advice}"),
        }
    }
}

/// The timeout of a server; the fields are those of `/api/v1/servers`.
#[derive(Serialize)]
struct TimeoutView {
    server: SocketAddr,
    role: &'static str,
    keepalive_timeout_seconds: f64,
    keepalive_timeout_upper_seconds: f64,
    keepalive_timeout_samples: u64,
}

impl TimeoutView {
    fn new(role: Role, server: SocketAddr, timeout: Timeout) -> Self {
        let seconds = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e6;
        Self {
            server,
            role: role.name(),
            keepalive_timeout_seconds: seconds(timeout.lower),
            keepalive_timeout_upper_seconds: seconds(timeout.upper),
            keepalive_timeout_samples: timeout.samples,
        }
    }
}

impl fmt::Display for TimeoutView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            server,
            role,
            keepalive_timeout_seconds: lower,
            keepalive_timeout_upper_seconds: upper,
            keepalive_timeout_samples: samples,
        } = self;
        write!(f, "{server} (role {role}) closes idle connections after {lower:.3} s")?;
        if upper > lower {
            write!(f, " to {upper:.3} s")?;
        }
        write!(f, ", as {samples} closes show")
    }
}
