//! Every exported metric is in a query or left out on purpose, and every metric in a query is exported.

use std::collections::HashSet;

use anyhow::{Result, ensure};
use tracer_lab::testbed::scrape::Scrape;

use crate::dashboard::Dashboard;
use crate::expression::selectors;
use crate::server::Rule;

/// Exported, and in no query: why.
const UNUSED: &[(&str, &str)] = &[(
    "process_open_fds",
    "for tools that know every exporter's: the daemon bounds its connections itself, and so its descriptors",
)];

/// What the name of a family's series may end with.
const SUFFIXES: [&str; 4] = ["", "_bucket", "_count", "_sum"];

/// Compares dashboard and rules with what the tracer exports.
pub(crate) fn check(dashboard: &Dashboard, rules: &[Rule], scrape: &Scrape) -> Result<()> {
    let queries = dashboard.queries();
    let of_rules = rules.iter().map(|rule| rule.expression.as_str());
    let expressions = queries.iter().map(|query| query.expression.as_str()).chain(of_rules);
    let used: HashSet<_> = expressions.flat_map(selectors).map(|selector| selector.metric).collect();
    let exported: HashSet<_> =
        scrape.families().into_iter().filter_map(|family| family.split(' ').next()).collect();
    let series = |family: &str| SUFFIXES.map(|suffix| format!("{family}{suffix}"));

    for family in &exported {
        let is_used = series(family).iter().any(|series| used.contains(series.as_str()));
        let is_left = UNUSED.iter().any(|(unused, _)| unused == family);
        ensure!(is_used || is_left, "{family} is in no query of deploy/, and not in UNUSED");
        ensure!(!(is_used && is_left), "{family} is said to be unused, but is in a query");
    }
    let known: HashSet<_> = exported.iter().flat_map(|family| series(family)).collect();
    for metric in used {
        let is_recorded = rules.iter().any(|rule| !rule.is_alert && rule.name == metric);
        ensure!(known.contains(metric) || is_recorded, "nobody exports or records {metric}");
    }
    Ok(())
}
