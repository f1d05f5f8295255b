//! Any bytes as records of the ring: whatever they say, they are decoded, matched, judged and shown without harm.
//!
//! An input is [`Options`], and then records as they stand in the ring.

#![no_main]

use std::{collections::HashSet, sync::LazyLock, time::Duration};

use libfuzzer_sys::fuzz_target;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracer_common::{Record, RecordWithLine};
use tracer_core::{
    Engine, EngineOptions, Outcome,
    classify::{IncidentView, RacePolicy},
    decode::{KernelFacts, Reasons},
    model::{Jiffy, KernelNs, ServerPorts, WallClock},
};
use zerocopy::{FromBytes, IntoBytes as _};

/// How the records reach which engine. All 0 is as a daemon with default flags had them.
#[repr(C)]
#[derive(Clone, Copy, FromBytes)]
struct Options {
    /// Which of [`MACHINES`] they are from.
    machine: u8,
    /// Whether the engine began with the first record, not at boot.
    just_started: u8,
    /// Whether the race window is set.
    race_window: u8,
    /// Whether only few connections are remembered.
    little_room: u8,
    /// Which of [`PORTS`] are selected.
    ports: u8,
    /// How often they come again, each time from other clients: a timeout shows only in many closes.
    rounds: u8,
    /// Which of [`STEPS`] lies between two rounds.
    step: u8,
    /// Whether all records are of one connection.
    one_connection: u8,
}

/// All that `method` can be.
const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "other"];

/// A client alone knows that its request was not read where there was no connection.
const NO_CONNECTION: [&str; 3] = ["refused", "unreachable", "backlog_overflow"];

/// Causes that say that the last request was read, or that nobody can tell.
const READ_OR_UNKNOWN: [&str; 7] = [
    "early_close",
    "response_cut",
    "after_response",
    "no_request",
    "unknown",
    "stale_connection",
    "reset_on_reuse",
];

/// Milliseconds between two rounds: within and beyond what the matcher waits for and remembers.
const STEPS: [u64; 8] = [150, 0, 1, 20, 99, 1_000, 5_000, 70_000];

/// Server ports that may be selected.
const PORTS: [&[u16]; 3] = [&[], &[8080], &[9]];

/// Upper bound on the records that one input comes to, all rounds together.
const MAX_RECORDS: usize = 200;

/// Machines that records can be from: one of today, and one whose kernel gives no reasons and ticks as seldom as any.
static MACHINES: LazyLock<[Machine; 2]> = LazyLock::new(|| {
    let today = machine(include_bytes!("../../tracer/tests/fixtures/6.18/race-fin-in-flight.rec"));
    let old = Machine { jiffy_ns: 10_000_000, reasons: Vec::new(), ..today };
    [today, old]
});

/// What a recording says of its machine.
#[derive(Deserialize)]
struct Machine {
    jiffy_ns: u64,
    boot_ns: u64,
    reasons: Vec<(u32, String)>,
}

fn machine(recording: &[u8]) -> Machine {
    let header = recording.split(|&byte| byte == b'\n').next().unwrap_or_default();
    serde_json::from_slice(header).expect("a recording has a header")
}

fuzz_target!(|bytes: &[u8]| {
    let Ok((options, records)) = Options::read_from_prefix(bytes) else { return };
    let records: Vec<_> = records
        .chunks_exact(size_of::<RecordWithLine>())
        .map(|bytes| RecordWithLine::read_from_bytes(bytes).expect("it has the size of a record"))
        .collect();
    let Some(RecordWithLine { record: first, .. }) = records.first() else { return };
    let machine = &MACHINES[usize::from(options.machine) % MACHINES.len()];
    let records = rounds(options, &records);
    let said = || {
        let mut engine = engine(options, machine, first.at_ns);
        run(&records, &mut engine, WallClock::new(Duration::from_nanos(machine.boot_ns)))
    };
    assert_eq!(said(), said(), "the same records mean the same");
});

fn engine(options: Options, machine: &Machine, now: u64) -> Engine {
    let facts = KernelFacts {
        jiffy: Jiffy::new(Duration::from_nanos(machine.jiffy_ns)).expect("a kernel's tick"),
        reasons: Reasons::from_names(machine.reasons.clone()),
        watched_since: KernelNs(if options.just_started == 0 { 0 } else { now }),
    };
    let options = EngineOptions {
        race: RacePolicy { window: (options.race_window != 0).then_some(Duration::from_millis(100)) },
        server_ports: ServerPorts::new(PORTS[usize::from(options.ports) % PORTS.len()].to_vec()),
        own_server: None,
        max_closed_connections: if options.little_room == 0 { 1_000 } else { 16 },
        max_servers: 2,
    };
    Engine::new(facts, options)
}

/// The records as often as they come, each time later and from other clients.
fn rounds(options: Options, records: &[RecordWithLine]) -> Vec<RecordWithLine> {
    let step = STEPS[usize::from(options.step) % STEPS.len()] * 1_000_000;
    let (first, last) = (records[0].record, records[records.len() - 1].record);
    let length = last.at_ns.saturating_sub(first.at_ns).saturating_add(step);
    let round = |number: u16| {
        records.iter().map(move |record| {
            let mut whole = *record;
            let record = &mut whole.record;
            if options.one_connection != 0 {
                connect(record, &first);
            }
            let later = length.saturating_mul(number.into());
            for time in [&mut record.at_ns, &mut record.sent_ns, &mut record.read_ns] {
                *time = time.saturating_add(later);
            }
            let client = if record.local_port > record.remote_port {
                &mut record.local_port
            } else {
                &mut record.remote_port
            };
            *client = client.wrapping_add(number);
            whole
        })
    };
    (0..=u16::from(options.rounds) % 32).flat_map(round).take(MAX_RECORDS).collect()
}

/// Gives the record the connection of another one.
fn connect(record: &mut Record, other: &Record) {
    record.netns = other.netns;
    record.family = other.family;
    record.local_addr = other.local_addr;
    record.remote_addr = other.remote_addr;
    record.local_port = other.local_port;
    record.remote_port = other.remote_port;
}

/// Returns all that was said.
fn run(records: &[RecordWithLine], engine: &mut Engine, clock: WallClock) -> Vec<Value> {
    let mut said = Vec::new();
    for record in records {
        // What makes no sense is refused, and counted.
        let _ = engine.record(record.as_bytes());
        check_all(engine, clock, &mut said);
        for sentence in
            engine.review(KernelNs(record.record.at_ns)).into_iter().flat_map(|review| review.announced)
        {
            harmless(&sentence);
        }
    }
    engine.finish();
    check_all(engine, clock, &mut said);
    let incidents: HashSet<_> = said.iter().map(|incident| incident["id"].as_u64()).collect();
    assert_eq!(incidents.len(), said.len(), "an incident is said once, with one cause");
    said.extend(engine.servers(usize::MAX).iter().map(json));
    said.extend(engine.advice(usize::MAX, clock).iter().map(json));
    said
}

fn check_all(engine: &mut Engine, clock: WallClock, said: &mut Vec<Value>) {
    for outcome in engine.outcomes() {
        if let Outcome::Incident(reset) = outcome {
            said.push(check(&IncidentView::new(&reset, clock)));
        }
    }
}

/// Panics where an incident is shown as it must not be.
fn check(incident: &IncidentView) -> Value {
    harmless(&incident.to_string());
    let object = json(incident);
    let is = |field: &str, value: &str| object[field] == value;
    assert_eq!(object["race"].is_null(), !is("cause", "keepalive_race"), "a race has a crossing");
    let (sent, by_reset) = (is("direction", "sent"), is("ended_by", "rst"));
    assert_eq!(object["mechanism"].is_string(), sent && by_reset, "a RST that is sent has a mechanism");
    let by_nobody = is("ended_by", "timeout") || is("ended_by", "unreachable");
    assert_eq!(object["direction"].is_null(), by_nobody, "what ended a connection came from one side");
    let method = &object["method"];
    assert!(method.is_null() || METHODS.iter().any(|known| method == known), "the methods are a closed set");
    assert!(object["path"].is_null() || !method.is_null(), "a path has a method");
    for time in ["idle", "request_to_reset", "since_response", "connection_age", "srtt"] {
        let seconds = object[format!("{time}_seconds")].as_f64();
        assert!(seconds.is_none_or(|seconds| seconds >= 0.0), "{time} is below 0");
    }
    assert!(incident.rst_segments > 0 || !by_reset, "a reset has a segment");
    if is("request_read", "never") {
        let no_connection =
            NO_CONNECTION.contains(&incident.cause) && object["bytes_sent"].as_u64() == Some(0);
        let by_server = is("role", "server") && by_reset;
        let proven = object["twin"] == true || by_server || no_connection;
        assert!(proven && !READ_OR_UNKNOWN.contains(&incident.cause), "never read without proof: {object}");
    }
    object
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
