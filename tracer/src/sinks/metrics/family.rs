//! Families of metrics, and how whoever counts and whoever is scraped share them without a lock.
//!
//! Whoever counts owns the table of its series; their values are atomics. A series passes through a channel once, when
//! it is new, to whoever is scraped.

use std::{
    collections::HashMap as LabelPairs,
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, Sender, channel},
    },
};

use hashbrown::HashMap;
use prometheus::{
    Counter, Gauge, Histogram, HistogramOpts, IntCounter, IntGauge, Opts,
    core::{Collector, Desc},
    proto::{self, MetricFamily},
};

/// A series on its way to whoever is scraped.
pub(super) type Series = Box<dyn Collector>;

/// Why a series can always be made: all but its label values is constant.
const DECLARED: &str = "names, labels and buckets are valid where they are declared";

/// Takes new series to whoever is scraped.
#[derive(Clone)]
pub(super) struct Publisher(Sender<Series>);

impl Publisher {
    /// The two ends.
    pub(super) fn new() -> (Self, Receiver<Series>) {
        let (sender, receiver) = channel();
        (Self(sender), receiver)
    }

    fn publish(&self, series: impl Collector + 'static) {
        // Nobody is scraped any more: then nobody misses it.
        let _ = self.0.send(Box::new(series));
    }
}

/// A family of metrics: a struct of its labels, which carries its name and help. Declared with [`family!`].
pub(super) trait Labels: Clone + Eq + Hash {
    /// What one series of it is.
    type Value: Value;
    /// The name of the family.
    const NAME: &'static str;
    /// What it counts or shows, in which unit.
    const HELP: &'static str;
    /// Upper bounds, for a histogram.
    const BUCKETS: &'static [f64];
    /// The names and values of the labels.
    fn pairs(&self) -> LabelPairs<String, String>;
}

/// Declares a family of metrics. The fields are its labels.
macro_rules! family {
    (@buckets) => {
        &[]
    };
    (@buckets $buckets:expr) => {
        &$buckets
    };
    ($family:ident: $value:ty $([$buckets:expr])? = $name:literal, $help:literal; $($label:ident: $type:ty),*) => {
        #[derive(Clone, PartialEq, Eq, Hash)]
        pub(super) struct $family {
            $(pub(super) $label: $type,)*
        }

        impl Labels for $family {
            type Value = $value;
            const NAME: &'static str = $name;
            const HELP: &'static str = $help;
            const BUCKETS: &'static [f64] = family!(@buckets $($buckets)?);

            fn pairs(&self) -> LabelPairs<String, String> {
                LabelPairs::from([$((stringify!($label).to_owned(), self.$label.to_string()),)*])
            }
        }
    };
}
pub(super) use family;

/// The value of one series: clones share it.
pub(super) trait Value: Collector + Clone + 'static {
    fn new(options: Opts, buckets: &[f64]) -> prometheus::Result<Self>;
}

impl Value for IntCounter {
    fn new(options: Opts, _: &[f64]) -> prometheus::Result<Self> {
        Self::with_opts(options)
    }
}

impl Value for Counter {
    fn new(options: Opts, _: &[f64]) -> prometheus::Result<Self> {
        Self::with_opts(options)
    }
}

impl Value for IntGauge {
    fn new(options: Opts, _: &[f64]) -> prometheus::Result<Self> {
        Self::with_opts(options)
    }
}

impl Value for Histogram {
    fn new(options: Opts, buckets: &[f64]) -> prometheus::Result<Self> {
        Self::with_opts(HistogramOpts::from(options).buckets(buckets.to_vec()))
    }
}

/// A counter that knows how much of it was scraped.
#[derive(Clone)]
pub(super) struct Counted {
    counter: IntCounter,
    scraped: Arc<AtomicU64>,
}

impl Counted {
    pub(super) fn add(&self, count: u64) {
        self.counter.inc_by(count);
    }

    /// What was counted since the last scrape.
    pub(super) fn unseen(&self) -> u64 {
        self.counter.get().saturating_sub(self.scraped.load(Relaxed))
    }
}

impl Collector for Counted {
    fn desc(&self) -> Vec<&Desc> {
        self.counter.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // One value for both: what is counted meanwhile is not scraped.
        let scraped = self.counter.get();
        self.scraped.store(scraped, Relaxed);
        let mut families = self.counter.collect();
        for metric in families.iter_mut().flat_map(MetricFamily::mut_metric) {
            let mut counter = proto::Counter::default();
            counter.set_value(exact(scraped));
            metric.set_counter(counter);
        }
        families
    }
}

impl Value for Counted {
    fn new(options: Opts, _: &[f64]) -> prometheus::Result<Self> {
        Ok(Self { counter: IntCounter::with_opts(options)?, scraped: Arc::default() })
    }
}

/// A count as a scrape has it.
#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
pub(super) fn exact(count: u64) -> f64 {
    count as f64
}

/// A gauge that is there only while what it shows stands.
#[derive(Clone)]
pub(super) struct Standing(Gauge);

impl Standing {
    pub(super) fn show(&self, value: f64) {
        self.0.set(value);
    }

    pub(super) fn hide(&self) {
        self.0.set(f64::NAN);
    }

    pub(super) fn show_known(&self, value: Option<f64>) {
        self.0.set(value.unwrap_or(f64::NAN));
    }
}

impl Collector for Standing {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if self.0.get().is_nan() { Vec::new() } else { self.0.collect() }
    }
}

impl Value for Standing {
    fn new(options: Opts, _: &[f64]) -> prometheus::Result<Self> {
        Gauge::with_opts(options).map(Self)
    }
}

/// The series of one family, for whoever counts.
pub(super) struct Family<L: Labels> {
    series: HashMap<L, L::Value>,
    publisher: Publisher,
}

impl<L: Labels> Family<L> {
    /// A family without series yet.
    pub(super) fn new(publisher: &Publisher) -> Self {
        Self { series: HashMap::new(), publisher: publisher.clone() }
    }

    /// The series with these labels, which begins if there was none.
    pub(super) fn with(&mut self, labels: L) -> &L::Value {
        self.series.entry(labels).or_insert_with_key(|labels| {
            let options = Opts::new(L::NAME, L::HELP).const_labels(labels.pairs());
            let value = L::Value::new(options, L::BUCKETS).expect(DECLARED);
            self.publisher.publish(value.clone());
            value
        })
    }

    /// All series there have been.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&L, &L::Value)> {
        self.series.iter()
    }
}

/// Brings a counter up to a total that is kept elsewhere and only grows.
pub(super) fn raise(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}
