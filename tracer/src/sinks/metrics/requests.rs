//! Requests, as the kernel side counted them: families made anew for each scrape.

use std::{array, collections::BTreeMap, time::Duration};

use hashbrown::HashMap;
use prometheus::proto::{Bucket, Counter, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use tracer_common::RequestTotals;
use tracer_core::{keepalive::IDLE_BUCKETS, model::Role};

use super::family::exact;
use crate::{
    kernel::requests::Counted,
    query::Heard,
    server_labels::{Endpoint, Server},
};

/// The series of requests, made of what the kernel side counts from one scrape to the next.
#[derive(Default)]
pub(super) struct RequestSeries {
    /// What the kernel side had counted at the last scrape.
    counted: BTreeMap<Counted, RequestTotals>,
    /// What was counted under each label.
    labelled: BTreeMap<(Role, Server), RequestTotals>,
}

impl RequestSeries {
    /// The servers for which labels are needed.
    pub(super) fn heard_of(&self, counted: &BTreeMap<Counted, RequestTotals>) -> Vec<(Endpoint, Heard)> {
        let heard = |(&(role, server), totals): (&Counted, &RequestTotals)| {
            let heard =
                if self.more((role, server), totals).requests > 0 { Heard::Now } else { Heard::Before };
            Some(((role, server?), heard))
        };
        counted.iter().filter_map(heard).collect()
    }

    /// Adds what was counted since the last scrape, and ends the series of servers without a label. The kernel side can
    /// forget those it returns.
    pub(super) fn take(
        &mut self,
        counted: &BTreeMap<Counted, RequestTotals>,
        labels: &HashMap<Endpoint, Server>,
    ) -> Vec<Endpoint> {
        let own = |&(role, server): &(Role, Server)| match server {
            Server::Known(address) => labels.get(&(role, address)) == Some(&server),
            Server::Other | Server::Unknown => true,
        };
        self.labelled.retain(|label, _| own(label));
        let mut forgotten = Vec::new();
        for (&(role, server), totals) in counted {
            let more = self.more((role, server), totals);
            let endpoint = server.map(|server| (role, server));
            let label = endpoint.and_then(|endpoint| labels.get(&endpoint)).copied().unwrap_or(Server::Other);
            if more.requests > 0 {
                self.labelled.entry((role, label)).or_default().add(&more);
                self.counted.insert((role, server), *totals);
            } else if let Some(endpoint) = endpoint.filter(|_| label == Server::Other) {
                self.counted.remove(&(role, server));
                forgotten.push(endpoint);
            }
        }
        forgotten
    }

    /// What was counted since the last scrape.
    fn more(&self, server: Counted, totals: &RequestTotals) -> RequestTotals {
        match self.counted.get(&server) {
            Some(before) if before.requests <= totals.requests => difference(totals, before),
            // It is new, or was forgotten.
            _ => *totals,
        }
    }

    /// The two families.
    pub(super) fn families(&self) -> [MetricFamily; 2] {
        let (mut requests, mut idle) = (Vec::new(), Vec::new());
        for ((role, server), totals) in &self.labelled {
            let labels = vec![pair("role", role.name()), pair("server", &server.to_string())];
            let mut metric = Metric::from_label(labels.clone());
            metric.set_counter(counter(totals.requests));
            requests.push(metric);
            let mut metric = Metric::from_label(labels);
            metric.set_histogram(histogram(totals));
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
}

fn difference(totals: &RequestTotals, before: &RequestTotals) -> RequestTotals {
    RequestTotals {
        requests: totals.requests - before.requests,
        reuse_idle: array::from_fn(|bucket| {
            totals.reuse_idle[bucket].saturating_sub(before.reuse_idle[bucket])
        }),
        reuse_idle_ns: totals.reuse_idle_ns.saturating_sub(before.reuse_idle_ns),
        late: totals.late.saturating_sub(before.late),
    }
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
