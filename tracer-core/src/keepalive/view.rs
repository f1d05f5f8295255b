//! What is known of a server, as people and programs get to read it.

use serde::Serialize;
use tracer_common::IDLE_BOUNDS_MS;

use super::profile::ServerProfile;
use crate::model::{Server, seconds};

/// [`IDLE_BOUNDS_MS`] in seconds.
pub const IDLE_BUCKETS: [f64; IDLE_BOUNDS_MS.len()] = {
    let mut seconds = [0.0; IDLE_BOUNDS_MS.len()];
    let mut index = 0;
    while index < seconds.len() {
        seconds[index] = IDLE_BOUNDS_MS[index] as f64 / 1000.0;
        index += 1;
    }
    seconds
};

/// What is known of one server, as `/api/v1/servers` shows it: the README explains the fields. Unknown is `null`; times
/// are in seconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServerView {
    pub(crate) server: String,
    pub(crate) role: &'static str,
    pub(crate) netns: Option<u32>,
    pub(crate) keepalive_timeout_seconds: Option<f64>,
    pub(crate) keepalive_timeout_upper_seconds: Option<f64>,
    pub(crate) keepalive_timeout_samples: u64,
    pub(crate) client_timeout_seconds: Option<f64>,
    pub(crate) client_timeout_samples: u64,
    pub(crate) requests_per_connection: Option<u32>,
    pub(crate) races: u64,
    pub(crate) idle_closes: IdleCloses,
}

/// Closes of idle connections by age.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct IdleCloses {
    /// Upper bounds of the buckets but the last, which has none.
    pub(crate) bounds: [f64; IDLE_BUCKETS.len()],
    /// Closes by the server in each bucket.
    pub(crate) server: Vec<u64>,
    /// Closes by its clients.
    pub(crate) client: Vec<u64>,
}

impl ServerView {
    /// Says what is known.
    #[must_use]
    pub(super) fn new(server: &Server, known: &ServerProfile) -> Self {
        let (by_server, by_client) = (known.timeout(), known.by_client.ages.timeout());
        Self {
            server: server.endpoint.to_string(),
            role: server.role.name(),
            netns: server.netns,
            keepalive_timeout_seconds: by_server.map(|timeout| seconds(timeout.lower)),
            keepalive_timeout_upper_seconds: by_server.map(|timeout| seconds(timeout.upper)),
            keepalive_timeout_samples: by_server.map_or(0, |timeout| timeout.samples),
            client_timeout_seconds: by_client.map(|timeout| seconds(timeout.lower)),
            client_timeout_samples: by_client.map_or(0, |timeout| timeout.samples),
            requests_per_connection: known.limit.requests(),
            races: known.races,
            idle_closes: IdleCloses {
                bounds: IDLE_BUCKETS,
                server: known.by_server.buckets.to_vec(),
                client: known.by_client.buckets.to_vec(),
            },
        }
    }
}
