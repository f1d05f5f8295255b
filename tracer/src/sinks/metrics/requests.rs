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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn server(port: u16) -> Endpoint {
        (Role::Server, SocketAddr::from(([10, 0, 0, 1], port)))
    }

    /// What the kernel side counted: requests of servers, by port; port 0 stands for those that had no room.
    fn totals(counted: &[(u16, u64)]) -> BTreeMap<Counted, RequestTotals> {
        let entry = |&(port, requests)| {
            let (role, address) = server(port);
            let totals = RequestTotals { requests, ..RequestTotals::default() };
            ((role, (port != 0).then_some(address)), totals)
        };
        counted.iter().map(entry).collect()
    }

    /// A scrape: what the kernel side counted, the ports that have a label, and what then is shown and forgotten.
    type Scrape = (&'static [(u16, u64)], &'static [u16], &'static [(&'static str, u64)], &'static [u16]);

    #[test]
    fn requests_are_counted_under_the_label_that_a_server_has_at_the_time() {
        let scrapes: [Scrape; 7] = [
            (&[(80, 5), (81, 2), (0, 0)], &[80], &[("10.0.0.1:80", 5), ("other", 2)], &[]),
            // Its label comes later; and it is quiet.
            (&[(80, 6), (81, 2), (0, 0)], &[80, 81], &[("10.0.0.1:80", 6), ("other", 2)], &[]),
            (
                &[(80, 6), (81, 5), (0, 1)],
                &[80, 81],
                &[("10.0.0.1:80", 6), ("10.0.0.1:81", 3), ("other", 3)],
                &[],
            ),
            // Its label goes, and it is heard of again; then no more.
            (&[(80, 7), (81, 5), (0, 1)], &[81], &[("10.0.0.1:81", 3), ("other", 4)], &[]),
            (&[(80, 7), (81, 5), (0, 1)], &[81], &[("10.0.0.1:81", 3), ("other", 4)], &[80]),
            // The kernel side counts it anew.
            (
                &[(80, 1), (81, 5), (0, 1)],
                &[80, 81],
                &[("10.0.0.1:80", 1), ("10.0.0.1:81", 3), ("other", 4)],
                &[],
            ),
            (&[(80, 9), (81, 9), (0, 1)], &[], &[("other", 16)], &[]),
        ];
        let mut series = RequestSeries::default();
        for (number, (counted, labelled, shown, forgotten)) in scrapes.into_iter().enumerate() {
            let counted = totals(counted);
            let heard = series.heard_of(&counted);
            let label = |&(endpoint, _): &(Endpoint, Heard)| {
                let own = labelled.contains(&endpoint.1.port());
                (endpoint, if own { Server::Known(endpoint.1) } else { Server::Other })
            };
            let found = series.take(&counted, &heard.iter().map(label).collect());
            assert_eq!(
                found,
                forgotten.iter().map(|&port| server(port)).collect::<Vec<_>>(),
                "scrape {number}"
            );
            let [requests, _] = series.families();
            let found: Vec<_> = requests
                .get_metric()
                .iter()
                .map(|metric| (metric.get_label()[1].value().to_owned(), metric.get_counter().get_value()))
                .collect();
            let shown: Vec<_> =
                shown.iter().map(|&(label, count)| (label.to_owned(), exact(count))).collect();
            assert_eq!(found, shown, "scrape {number}");
        }
    }
}
