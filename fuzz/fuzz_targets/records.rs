//! Any bytes as records of the ring: whatever they say, it is decoded, matched, judged and shown without harm.
//!
//! Records that are made up at random hardly ever meet. So the bytes of [`Record`] that mean nothing say which of its others to
//! replace; in a recording they are all 0, which leaves it as it is.

#![no_main]

use std::{mem::offset_of, sync::LazyLock, time::Duration};

use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde_json::Value;
use tracer::{
    config::EventFormat,
    decode::record,
    keepalive::Fingerprints,
    matcher::Matcher,
    metrics::Metrics,
    output::{Output, WhenFull},
    pipeline::Pipeline,
    recent::Recent,
    recording::{Header, Recording},
    reset::ResetView,
    time::{KernelNs, WallClock},
};
use tracer_common::{METHOD_OTHER, Record};

const RECORD: usize = size_of::<Record>();

/// All that `method` can be.
const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "other"];

/// Times from one record to the next, in milliseconds: within and beyond what the matcher waits for and remembers.
const STEPS: [u64; 8] = [0, 1, 20, 99, 150, 1_000, 5_000, 70_000];

/// Records that one input comes to at the most, repetitions among them.
const MAX_RECORDS: usize = 200;

/// Machines that records can be from: the oldest kernel gives no reasons.
static MACHINES: LazyLock<[Header; 2]> = LazyLock::new(|| {
    [
        header(include_bytes!("../../tracer/tests/fixtures/7.2/race-fin-in-flight.rec")),
        header(include_bytes!("../../tracer/tests/fixtures/5.10/race-fin-in-flight.rec")),
    ]
});

fn header(recording: &[u8]) -> Header {
    Recording::read(recording).expect("a recording has a header").header
}

fuzz_target!(|bytes: &[u8]| {
    let records: Vec<_> = bytes.chunks(RECORD).map(whole).collect();
    if let Some(first) = records.first().and_then(|bytes| record(bytes)) {
        let metrics = Metrics::new(2).expect("the metrics have valid names");
        run(&records, &mut pipeline(&first, &metrics));
    }
});

/// The last piece of the input filled up with zeroes.
fn whole(bytes: &[u8]) -> [u8; RECORD] {
    let mut whole = [0; RECORD];
    whole[..bytes.len()].copy_from_slice(bytes);
    whole
}

/// What the first record's unused bytes ask for.
fn pipeline<'a>(first: &Record, metrics: &'a Metrics) -> Pipeline<'a> {
    let [machine, start, window, room] = first.more_padding.to_ne_bytes();
    let machine = &MACHINES[usize::from(machine) % MACHINES.len()];
    let started = if start == 0 { 0 } else { first.at_ns };
    Pipeline {
        matcher: Matcher::new(KernelNs(started), if room == 0 { 1_000 } else { 16 }),
        rules: machine.rules((window != 0).then_some(Duration::from_millis(100))),
        metrics,
        output: Output::start(EventFormat::Off, WhenFull::Wait).expect("nothing is started"),
        recent: Recent::new(usize::MAX),
        requests: None,
        fingerprints: Fingerprints::new(2),
        recorder: None,
        server_ports: Vec::new(),
        clock: WallClock::fixed(Duration::from_nanos(machine.boot_ns)),
    }
}

fn run(records: &[[u8; RECORD]], pipeline: &mut Pipeline) {
    let mut now = 0;
    let repeated =
        records.iter().flat_map(|bytes| (0..=repetitions(bytes)).map(move |again| (*bytes, again)));
    for (mut bytes, again) in repeated.take(MAX_RECORDS) {
        now = arrange(&mut bytes, now, again);
        // What makes no sense is refused, and counted.
        let _ = pipeline.record(&bytes);
        pipeline.publish();
        review(pipeline, KernelNs(now));
    }
    pipeline.matcher.flush();
    pipeline.publish();
    for reset in pipeline.recent.newest(usize::MAX) {
        judge(&reset);
    }
    for server in pipeline.fingerprints.servers(usize::MAX) {
        json(&server);
    }
    for advice in pipeline.fingerprints.advice(usize::MAX, pipeline.clock) {
        json(&advice);
    }
}

/// As [`Pipeline::review`] does it, but without the time of day: the same input shall always do the same.
fn review(pipeline: &mut Pipeline, now: KernelNs) {
    let Some(review) = pipeline.fingerprints.review(now) else { return };
    pipeline.metrics.keepalive(&review);
    for sentence in &review.told {
        harmless(sentence);
    }
}

/// How often a record comes again: a timeout shows only in many closes.
fn repetitions(bytes: &[u8; RECORD]) -> u16 {
    record(bytes).map_or(0, |record| u16::from(record.request_line.padding[0] % 32))
}

/// Replaces what the unused bytes say, and returns the record's time.
fn arrange(bytes: &mut [u8; RECORD], before: u64, again: u16) -> u64 {
    let Some(record) = record(bytes) else { return before };
    let [_, step, kind] = record.padding;
    connect(bytes, &record, again);
    if kind != 0 {
        put(bytes, offset_of!(Record, kind), &u32::from(1 + kind % 4).to_ne_bytes());
        put(bytes, offset_of!(Record, socket), &[kind / 4 % 4]);
    }
    let line = record.request_line.padding[1];
    if line != 0 {
        put(bytes, offset_of!(Record, request_line.method), &[1 + line % METHOD_OTHER]);
        put(bytes, offset_of!(Record, request_line.by), &[1 + line / METHOD_OTHER % 2]);
        put(bytes, offset_of!(Record, request_line.path_len), &[64]);
    }
    let after = match (step, again) {
        (0, 0) => return record.at_ns,
        (0, _) => 1_000,
        _ => STEPS[usize::from(step) % STEPS.len()],
    };
    let at = before.saturating_add(after * 1_000_000);
    let moved = |time: u64| time.wrapping_add(at.wrapping_sub(record.at_ns)).to_ne_bytes();
    put(bytes, offset_of!(Record, at_ns), &at.to_ne_bytes());
    put(bytes, offset_of!(Record, sent_ns), &moved(record.sent_ns));
    put(bytes, offset_of!(Record, read_ns), &moved(record.read_ns));
    at
}

/// Gives the record one of few connections, or its own; a repetition gets another one to the same server.
fn connect(bytes: &mut [u8; RECORD], record: &Record, again: u16) {
    let connection = record.padding[0];
    let (client, port) = if connection != 0 {
        // Of a host with itself, with another one, and the same in IPv6.
        let (family, address): (u16, [u8; 4]) = match connection % 3 {
            0 => (2, [127, 0, 0, 1]),
            1 => (2, [10, 0, 0, 7]),
            _ => (10, [10, 0, 0, 7]),
        };
        put(bytes, offset_of!(Record, family), &family.to_ne_bytes());
        put(bytes, offset_of!(Record, netns), &1_u32.to_ne_bytes());
        put(bytes, offset_of!(Record, local_addr), &address);
        put(bytes, offset_of!(Record, remote_addr), &address);
        put(bytes, offset_of!(Record, local_port), &80_u16.to_ne_bytes());
        (offset_of!(Record, remote_port), 40_000 + u16::from(connection / 3 % 2))
    } else if record.local_port > record.remote_port {
        (offset_of!(Record, local_port), record.local_port)
    } else {
        (offset_of!(Record, remote_port), record.remote_port)
    };
    put(bytes, client, &port.wrapping_add(again).to_ne_bytes());
}

fn put(bytes: &mut [u8; RECORD], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// Panics where a reset is shown as it must not be.
fn judge(reset: &ResetView) {
    harmless(&reset.to_string());
    let object = json(reset);
    let method = &object["method"];
    assert!(method.is_null() || METHODS.iter().any(|known| method == known), "the methods are a closed set");
    assert!(object["path"].is_null() || !method.is_null(), "a path has a method");
    for time in ["idle", "request_to_reset", "since_response", "connection_age", "srtt"] {
        let seconds = object[format!("{time}_seconds")].as_f64();
        assert!(seconds.is_none_or(|seconds| seconds >= 0.0), "{time} is below 0");
    }
    assert!(reset.rst_segments > 0, "a reset has a segment");
}

/// What a reader of the JSON gets: it can be parsed, and no text in it harms a terminal.
fn json(view: &impl Serialize) -> Value {
    let text = serde_json::to_string(view).expect("a view can be written");
    harmless(&text);
    let value = serde_json::from_str(&text).expect("what was written can be read");
    all_harmless(&value);
    value
}

fn all_harmless(value: &Value) {
    match value {
        Value::String(text) => harmless(text),
        Value::Array(values) => values.iter().for_each(all_harmless),
        Value::Object(fields) => fields.values().for_each(all_harmless),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn harmless(text: &str) {
    assert!(!text.contains(char::is_control), "{text:?} harms a terminal");
}
