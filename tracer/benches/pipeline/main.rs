//! What an event costs in user space: decode → match → classify → count, over many connections of all kinds.
//!
//! `cargo bench -p tracer` measures the time. With `--once` the stream passes once, for an instruction count:
//! `cargo xtask bench --instructions`.

mod stream;

use std::{env, hint::black_box};

use anyhow::Result;
use criterion::{Criterion, SamplingMode, Throughput};
use tracer::{
    clock,
    config::{EventFormat, SinkOptions},
    pipeline::Pipeline,
    writer::WhenFull,
};
use tracer_core::{
    Engine, EngineOptions,
    classify::RacePolicy,
    decode::KernelFacts,
    model::{KernelNs, ServerPorts},
};

use crate::stream::Stream;

/// Connections of the stream.
const CONNECTIONS: usize = 100_000;
/// Records between two looks at what came of them, as in the daemon.
const BATCH: usize = 1024;

fn main() -> Result<()> {
    let stream = Stream::of_connections(CONNECTIONS)?;
    if env::args().any(|argument| argument == "--once") {
        black_box(pass_through(&stream)?);
        println!("{} events", stream.records.len());
        return Ok(());
    }
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("pipeline");
    group
        .throughput(Throughput::Elements(stream.records.len() as u64))
        .sampling_mode(SamplingMode::Flat)
        .sample_size(20)
        .bench_function("events", |bencher| bencher.iter(|| pass_through(&stream)));
    group.finish();
    criterion.final_summary();
    Ok(())
}

/// The whole stream through a new daemon's pipeline with default flags, less its standard output.
#[inline(never)]
fn pass_through(stream: &Stream) -> Result<u64> {
    let options = EngineOptions {
        race: RacePolicy::default(),
        server_ports: ServerPorts::default(),
        own_server: None,
        max_closed_connections: 65_536,
        max_servers: 500,
    };
    let facts = KernelFacts { watched_since: KernelNs(0), ..stream.header.facts()? };
    let sinks = SinkOptions { events: EventFormat::Off, recent: 1000, max_series: 500, record: None };
    let (mut pipeline, _exposition) =
        Pipeline::start(Engine::new(facts, options), &sinks, WhenFull::Wait, clock::wall_clock())?;
    let mut malformed = 0;
    for batch in stream.records.chunks(BATCH) {
        for record in batch {
            malformed += u64::from(pipeline.record(record).is_err());
        }
        pipeline.advance(KernelNs(batch.last().map_or(0, stream::at_ns)));
    }
    pipeline.finish();
    Ok(malformed)
}
