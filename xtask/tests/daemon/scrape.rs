//! The metrics, as a scraper reads them.

use anyhow::{Context as _, Result};
use xtask::lab::http;

/// One answer of `/metrics`.
pub(crate) struct Scrape(pub(crate) String);

impl Scrape {
    pub(crate) fn take(port: u16) -> Result<Self> {
        http::get(port, "/metrics")?.text().map(Self)
    }

    /// The value of one series, named with its labels.
    pub(crate) fn value(&self, series: &str) -> Result<u64> {
        let value = self.0.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        let value = value.with_context(|| format!("there is no {series}"))?;
        value.parse().with_context(|| format!("{series} is {value}"))
    }

    /// The sum over all series of a family.
    pub(crate) fn sum(&self, family: &str) -> Result<u64> {
        let samples = self
            .0
            .lines()
            .filter(|line| line.strip_prefix(family).is_some_and(|rest| rest.starts_with(['{', ' '])));
        samples.map(|line| Ok(line.rsplit(' ').next().unwrap_or("").parse::<u64>()?)).sum()
    }

    /// Name and type of every family.
    pub(crate) fn families(&self) -> Vec<&str> {
        self.0.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect()
    }
}
