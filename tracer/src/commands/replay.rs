//! `tracer replay`: a recording through the very same stages as live events.

use std::time::Duration;

use anyhow::{Result, ensure};
use tracer_core::{
    Engine, EngineOptions,
    classify::RacePolicy,
    model::{ServerPorts, WallClock},
};

use crate::{
    config::Replay,
    lines::WhenFull,
    pipeline::Pipeline,
    sinks::{metrics::Metrics, recent::Recent, stdout::Stdout},
    sources::recording::Recording,
};

/// Connections remembered while replaying: as many as a live tracer has by default.
const MAX_CLOSED_CONNECTIONS: usize = 65_536;

/// Prints every reset of a recording. Fails at the end when something in it could not be read.
pub fn run(replay: &Replay) -> Result<()> {
    let mut recording = Recording::open(&replay.file)?;
    let (metrics, _) = Metrics::new(0);
    let stdout = Stdout::start(replay.events, WhenFull::Wait)?;
    let options = EngineOptions {
        race: RacePolicy { window: replay.race_window },
        server_ports: ServerPorts::default(),
        max_closed_connections: MAX_CLOSED_CONNECTIONS,
        max_servers: 1,
    };
    let mut pipeline = Pipeline {
        engine: Engine::new(recording.header.facts()?, options),
        metrics,
        stdout,
        recent: Recent::new(0),
        requests: None,
        recorder: None,
        clock: WallClock::new(Duration::from_nanos(recording.header.boot_ns)),
    };
    let mut malformed = 0_u64;
    let ended = loop {
        match recording.next_record() {
            Ok(Some(bytes)) => malformed += u64::from(pipeline.record(&bytes).is_err()),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
        pipeline.publish();
    };
    pipeline.finish();
    ended?;
    ensure!(malformed == 0, "{malformed} records of the recording make no sense and were passed over");
    Ok(())
}
