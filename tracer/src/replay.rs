//! `tracer replay`: a recording through the very same stages as live events.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::{
    config::Replay,
    keepalive::Fingerprints,
    matcher::Matcher,
    metrics::Metrics,
    output::{Output, WhenFull},
    pipeline::Pipeline,
    recent::Recent,
    recording::{Header, Recording},
    time::{KernelNs, WallClock},
};

/// Connections remembered while replaying: as many as a live tracer has by default.
const MAX_CONNECTIONS: usize = 65_536;

/// Prints every reset of a recording. Fails at the end when something in it could not be read.
pub fn run(replay: &Replay) -> Result<()> {
    let mut recording = Recording::open(&replay.file)?;
    let metrics = Metrics::new(0)?;
    let output = Output::start(replay.events, WhenFull::Wait)?;
    let mut pipeline = pipeline(&recording.header, replay, &metrics, output);
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

fn pipeline<'a>(header: &Header, replay: &Replay, metrics: &'a Metrics, output: Output) -> Pipeline<'a> {
    Pipeline {
        matcher: Matcher::new(KernelNs(header.started_ns), MAX_CONNECTIONS),
        rules: header.rules(replay.race_window),
        metrics,
        output,
        recent: Recent::new(0),
        requests: None,
        fingerprints: Fingerprints::new(1),
        recorder: None,
        server_ports: Vec::new(),
        clock: WallClock::fixed(Duration::from_nanos(header.boot_ns)),
    }
}
