//! What is scraped, and how it learns which series there are.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
    mpsc::Receiver,
};

use arc_swap::ArcSwap;
use prometheus::{
    Registry, TextEncoder,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use super::family::Series;

/// The series of servers, which come and go. Whoever counts puts up a new version of the whole list; whoever is scraped
/// takes the latest one and says which. Neither waits for the other, and nothing piles up while nobody scrapes.
#[derive(Clone, Default)]
pub(super) struct Board {
    latest: Arc<ArcSwap<Version>>,
    scraped: Arc<AtomicU64>,
}

#[derive(Default)]
struct Version {
    number: u64,
    servers: Vec<Arc<[Arc<Series>]>>,
}

impl Board {
    /// Replaces the list, by its version of this number.
    pub(super) fn put_up(&self, number: u64, servers: Vec<Arc<[Arc<Series>]>>) {
        self.latest.store(Arc::new(Version { number, servers }));
    }

    /// The latest version that was scraped.
    pub(super) fn scraped(&self) -> u64 {
        self.scraped.load(Relaxed)
    }
}

impl Collector for Board {
    /// None that a registry could check: each series has its own.
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let latest = self.latest.load_full();
        self.scraped.store(latest.number, Relaxed);
        latest.servers.iter().flat_map(|series| series.iter()).flat_map(|series| series.collect()).collect()
    }
}

/// What is scraped: every series there is.
pub struct Exposition {
    pub(super) registry: Registry,
    published: Receiver<Series>,
}

impl Exposition {
    /// Shows what is published, and the series of servers.
    pub(super) fn new(published: Receiver<Series>, servers: Board) -> Self {
        let registry = Registry::new();
        registry.register(Box::new(servers)).expect("nothing is there that it could clash with");
        Self { registry, published }
    }

    /// The text format, with these families besides.
    pub fn render(&mut self, others: impl IntoIterator<Item = MetricFamily>) -> prometheus::Result<String> {
        for series in self.published.try_iter() {
            self.registry.register(series)?;
        }
        let mut families = self.registry.gather();
        // A family without a metric is an error to the encoder.
        families.extend(others.into_iter().filter(|family| !family.get_metric().is_empty()));
        TextEncoder::new().encode_to_string(&families)
    }
}
