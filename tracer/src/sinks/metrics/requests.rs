//! Requests, as the kernel side counted them: families made anew for each scrape.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use prometheus::proto::{Bucket, Counter, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use tracer_common::RequestTotals;
use tracer_core::{keepalive::IDLE_BUCKETS, model::Role};

use crate::{kernel::requests::Counted, server_labels::Server};

/// The two families; servers with the same label are added up, and those without one left out.
pub(super) fn families(
    counted: &BTreeMap<Counted, RequestTotals>,
    label: impl Fn(Role, SocketAddr) -> Option<Server>,
) -> [MetricFamily; 2] {
    let (mut requests, mut idle) = (Vec::new(), Vec::new());
    for ((role, server), totals) in labelled(counted, label) {
        let labels = vec![pair("role", role), pair("server", &server.to_string())];
        let mut metric = Metric::from_label(labels.clone());
        metric.set_counter(counter(totals.requests));
        requests.push(metric);
        let mut metric = Metric::from_label(labels);
        metric.set_histogram(histogram(&totals));
        idle.push(metric);
    }
    [
        family(
            "tracer_requests_total",
            "Requests, with --requests: those read by servers, and those answered to clients.",
            MetricType::COUNTER,
            requests,
        ),
        family(
            "tracer_reuse_idle_seconds",
            "How long connections had been idle when they were used again, with --requests.",
            MetricType::HISTOGRAM,
            idle,
        ),
    ]
}

fn labelled(
    counted: &BTreeMap<Counted, RequestTotals>,
    label: impl Fn(Role, SocketAddr) -> Option<Server>,
) -> BTreeMap<(&'static str, Server), RequestTotals> {
    let mut labelled = BTreeMap::<_, RequestTotals>::new();
    for (&(role, server), totals) in counted {
        let server = server.map_or(Some(Server::Other), |server| label(role, server));
        if let Some(server) = server.filter(|_| *totals != RequestTotals::default()) {
            labelled.entry((role.name(), server)).or_default().add(totals);
        }
    }
    labelled
}

fn counter(value: u64) -> Counter {
    let mut counter = Counter::default();
    counter.set_value(exact(value));
    counter
}

fn histogram(totals: &RequestTotals) -> Histogram {
    let mut histogram = Histogram::default();
    let mut count = 0;
    let mut buckets = Vec::with_capacity(IDLE_BUCKETS.len());
    for (&bound, added) in IDLE_BUCKETS.iter().zip(totals.reuse_idle) {
        count += added;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound);
        bucket.set_cumulative_count(count);
        buckets.push(bucket);
    }
    histogram.set_bucket(buckets);
    histogram.set_sample_count(totals.reuses());
    histogram.set_sample_sum(Duration::from_nanos(totals.reuse_idle_ns).as_secs_f64());
    histogram
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn exact(count: u64) -> f64 {
    count as f64
}

fn pair(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}
