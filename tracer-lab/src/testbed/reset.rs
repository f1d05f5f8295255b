//! An incident as the tracer's JSON tells it: the contract, read from the outside.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// Fields that every line must have, if only as null.
const FIELDS: [&str; 33] = [
    "time",
    "id",
    "connection",
    "community_id",
    "direction",
    "ended_by",
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
    "twin",
    "request_read",
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
    "explanation",
];

/// The fields that the lab judges.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the README explains them")]
pub struct Reset {
    pub time: Timestamp,
    /// Null where it is not known at either end.
    pub connection: Option<String>,
    pub community_id: String,
    /// Null where neither side ended it.
    pub direction: Option<String>,
    pub ended_by: String,
    pub role: String,
    pub cause: String,
    pub race: Option<String>,
    pub mechanism: Option<String>,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    /// Null if the role is not known.
    pub server: Option<SocketAddr>,
    pub netns: u64,
    pub errno: Option<String>,
    pub matched: String,
    pub twin: bool,
    pub request_read: String,
    pub state: Option<String>,
    pub idle_seconds: Option<f64>,
    pub request_to_reset_seconds: Option<f64>,
    pub fin_to_request_seconds: Option<f64>,
    pub since_response_seconds: Option<f64>,
    pub rst_segments: u32,
    pub requests: Option<u32>,
    pub method: Option<String>,
    pub path: Option<String>,
    /// A sentence for a person.
    pub explanation: String,
}

impl Reset {
    /// Reads one line of the tracer's standard output.
    pub fn parse(line: &str) -> Result<Self> {
        let object: Value = serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
        for field in FIELDS {
            ensure!(object.get(field).is_some(), "`{field}` is missing from {line}");
        }
        Self::deserialize(object).with_context(|| format!("against the contract: {line}"))
    }
}
