//! Every family of metrics: value, name, help and labels. What the kernel counts of requests is in `requests`, what the
//! process uses in `process`.

use std::collections::HashMap as LabelPairs;

use prometheus::{Counter, Histogram, IntCounter, IntGauge};
use tracer_core::keepalive::IDLE_BUCKETS;

use super::family::{Counted, Labels, Standing, family};
use crate::server_labels::Server;

/// From a loopback's round trip to the usual request timeouts.
const REQUEST_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.0105, 0.0255, 0.0505, 0.105, 0.255, 0.505, 1.05, 5.05, 30.5, 60.5];

family! {
    Failures: Counted = "tracer_failures_total",
    "Connections on which a request was, or may have been, lost, whatever ended them.";
    role: &'static str, server: Server, cause: &'static str, ended_by: &'static str
}

family! {
    FailedRequests: Counted = "tracer_request_read_total",
    "The same failures, by whether the server's application had read the last request.";
    role: &'static str, server: Server, request_read: &'static str
}

family! {
    ResetsSent: Counted = "tracer_resets_sent_total",
    "Connections that this host reset, one for each connection however many RST segments it took.";
    role: &'static str, server: Server, cause: &'static str, mechanism: &'static str
}

family! {
    ResetsReceived: Counted = "tracer_resets_received_total",
    "Connections that the other end reset.";
    role: &'static str, server: Server, cause: &'static str
}

family! {
    ResetIdle: Histogram[IDLE_BUCKETS] = "tracer_reset_idle_seconds",
    "How long a connection had been idle before the last request, for reset connections.";
    role: &'static str, server: Server, cause: &'static str
}

family! {
    RequestToReset: Histogram[REQUEST_BUCKETS] = "tracer_request_to_reset_seconds",
    "Time from the last request to the reset.";
    role: &'static str, cause: &'static str
}

family! {
    ResetRequests: Counted = "tracer_reset_requests_total",
    "Resets whose last request is known, with --request-lines, by its method.";
    direction: &'static str, role: &'static str, server: Server, cause: &'static str, method: &'static str
}

family! {
    IdleCloses: Histogram[IDLE_BUCKETS] = "tracer_idle_close_seconds",
    "How long a connection with no request open had been idle when one side closed it; at least 0.05 s.";
    role: &'static str, server: Server, closed_by: &'static str
}

family! {
    KeepaliveTimeout: Standing = "tracer_keepalive_timeout_seconds",
    "After how long a server closes idle connections, as inferred from its closes; absent while it cannot be.";
    role: &'static str, server: Server
}

family! {
    KeepaliveTimeoutSamples: Standing = "tracer_keepalive_timeout_samples",
    "Closes that agree with tracer_keepalive_timeout_seconds.";
    role: &'static str, server: Server
}

family! {
    StandingAdvice: Standing = "tracer_advice",
    "1 while there is advice on a server: see /api/v1/advice.";
    role: &'static str, server: Server, kind: &'static str, severity: &'static str
}

family! {
    Unmatched: IntCounter = "tracer_resets_unmatched_total",
    "Resets that belong to no connection the tracer could know, by the reason why.";
    why: &'static str
}

family! {
    Events: IntCounter = "tracer_events_total",
    "Records that the kernel side delivered.";
    event: &'static str
}

family! {
    EventsLost: IntCounter = "tracer_events_lost_total",
    "Events that a full buffer could not take: records between kernel and tracer, lines on stdout, a recording's end.";
    buffer: &'static str
}

family! {
    LabelOverflow: IntCounter = "tracer_label_overflow_total",
    "Observations counted under server=\"other\" because all --max-series places were taken by servers that stay.";
    label: &'static str
}

family! {
    LabelEvictions: IntCounter = "tracer_label_evictions_total",
    "Servers whose series ended to make room for those of another.";
    label: &'static str
}

family! {
    ConnectionsTracked: IntGauge = "tracer_connections_tracked",
    "Closed or closing connections remembered to explain later resets.";
}

family! {
    SegmentsSent: IntCounter = "tracer_rst_segments_sent_total",
    "RST segments sent, counted in the kernel.";
}

family! {
    SegmentsReceived: IntCounter = "tracer_rst_segments_received_total",
    "RST segments that ended a socket, counted in the kernel.";
}

family! {
    ProbeRuns: IntCounter = "tracer_probe_runs_total",
    "Runs of each eBPF program, while the kernel's BPF statistics are on.";
    probe: &'static str
}

family! {
    ProbeRunSeconds: Counter = "tracer_probe_run_seconds_total",
    "Time spent in each eBPF program, while the kernel's BPF statistics are on.";
    probe: &'static str
}

family! {
    ProbeMisses: IntCounter = "tracer_probe_misses_total",
    "Runs of each eBPF program that the kernel passed over, because it ran on that CPU already.";
    probe: &'static str
}

family! {
    ProbeAttached: IntGauge = "tracer_probe_attached",
    "Whether a probe is attached (1) or could not be (0).";
    probe: &'static str
}

family! {
    Coverage: IntGauge = "tracer_coverage",
    "Whether this kernel lets the tracer see the resets sent on a path (1) or not (0).";
    path: &'static str
}

family! {
    BuildInfo: IntGauge = "tracer_build_info",
    "Always 1; the labels tell what runs here.";
    version: &'static str, revision: &'static str, kernel: String
}
