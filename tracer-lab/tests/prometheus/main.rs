//! The dashboard, the rules and the alerts in `deploy/`: as text, under promtool, and in a Prometheus that scrapes a
//! tracer while the lab's upstream loses requests.

mod coverage;
mod dashboard;
mod expected;
mod expression;
mod lint;
mod live;
mod promtool;
mod protected;
mod server;

use std::fs;

use anyhow::{Context as _, Result};
use tracer_lab::workspace;

/// A file of the repository.
fn text(path: &str) -> Result<String> {
    fs::read_to_string(workspace::root().join(path)).with_context(|| format!("cannot read {path}"))
}
