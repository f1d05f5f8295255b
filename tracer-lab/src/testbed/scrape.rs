//! The metrics, as a scraper reads them.

use anyhow::{Context as _, Result};

use crate::testbed::http;

/// One answer of `/metrics`.
pub struct Scrape(pub String);

impl Scrape {
    /// Asks the tracer on this port.
    pub fn take(port: u16) -> Result<Self> {
        http::get(port, "/metrics")?.text().map(Self)
    }

    /// The value of one series, named with its labels.
    pub fn value(&self, series: &str) -> Result<u64> {
        let text = self.text(series)?;
        text.parse().with_context(|| format!("{series} is {text}"))
    }

    /// The same of a series that measures time.
    pub fn seconds(&self, series: &str) -> Result<f64> {
        let text = self.text(series)?;
        text.parse().with_context(|| format!("{series} is {text}"))
    }

    fn text(&self, series: &str) -> Result<&str> {
        let value = self.0.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.with_context(|| format!("there is no {series}"))
    }

    /// The sum over the series of a family that have all these labels, written as in the text.
    pub fn sum(&self, family: &str, labels: &[&str]) -> Result<u64> {
        let of_family = |line: &&str| {
            line.strip_prefix(family).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        };
        let values = self.0.lines().filter(of_family).map(|line| line.rsplit(' ').next().unwrap_or(""));
        values.map(|value| Ok(value.parse::<u64>()?)).sum()
    }

    /// Name and type of every family.
    #[must_use]
    pub fn families(&self) -> Vec<&str> {
        self.0.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect()
    }
}
