//! A reset as the tracer's JSON tells it: the contract, read from the outside.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

/// Fields that every line must have, if only as null.
const FIELDS: [&str; 26] = [
    "time",
    "direction",
    "role",
    "cause",
    "race",
    "mechanism",
    "local",
    "remote",
    "server",
    "netns",
    "state",
    "kernel_reason",
    "errno",
    "matched",
    "idle_seconds",
    "request_to_reset_seconds",
    "fin_to_request_seconds",
    "since_response_seconds",
    "connection_age_seconds",
    "bytes_sent",
    "bytes_received",
    "srtt_seconds",
    "rst_segments",
    "requests",
    "method",
    "path",
];

/// The fields that the lab judges.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Reset {
    pub(crate) direction: String,
    pub(crate) role: String,
    pub(crate) cause: String,
    pub(crate) race: Option<String>,
    pub(crate) mechanism: Option<String>,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    /// Null if the role is not known.
    pub(crate) server: Option<SocketAddr>,
    pub(crate) netns: u64,
    pub(crate) errno: Option<String>,
    pub(crate) matched: String,
    pub(crate) idle_seconds: Option<f64>,
    pub(crate) request_to_reset_seconds: Option<f64>,
    pub(crate) fin_to_request_seconds: Option<f64>,
    pub(crate) since_response_seconds: Option<f64>,
    pub(crate) rst_segments: u32,
    pub(crate) requests: Option<u32>,
    pub(crate) method: Option<String>,
    pub(crate) path: Option<String>,
}

impl Reset {
    /// Reads one line of the tracer's standard output.
    pub(crate) fn parse(line: &str) -> Result<Self> {
        let object: Value = serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
        for field in FIELDS {
            ensure!(object.get(field).is_some(), "`{field}` is missing from {line}");
        }
        Self::deserialize(object).with_context(|| format!("against the contract: {line}"))
    }
}
