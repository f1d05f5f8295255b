//! Advice as people and programs get to read it, with what it stands on.

use std::fmt;

use serde::Serialize;

use super::{
    finding::{Advice, Finding},
    profile::ServerProfile,
    suggested::Suggested,
    text,
};
use crate::model::{Server, WallClock, seconds};

/// One piece of advice as `/api/v1/advice` shows it: the README explains the fields. Unknown is `null`; times are in
/// seconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AdviceView {
    pub(crate) server: String,
    pub(crate) role: &'static str,
    pub(crate) netns: Option<u32>,
    pub(crate) kind: &'static str,
    pub(crate) severity: &'static str,
    pub(crate) since: String,
    pub(crate) last_seen: String,
    pub(crate) text: String,
    pub(crate) evidence: Evidence,
    pub(crate) suggested: Suggested,
}

/// What an advice stands on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Evidence {
    pub(crate) server_timeout_seconds: Option<f64>,
    pub(crate) server_timeout_upper_seconds: Option<f64>,
    pub(crate) server_timeout_samples: u64,
    pub(crate) client_timeout_seconds: Option<f64>,
    pub(crate) client_timeout_samples: u64,
    pub(crate) idle_closes_by_server: u64,
    pub(crate) idle_closes_by_client: u64,
    pub(crate) races: u64,
    pub(crate) requests_per_connection: Option<u32>,
    pub(crate) path_bound_seconds: Option<f64>,
    pub(crate) reuses: Option<u64>,
    pub(crate) late_reuses: Option<u64>,
}

/// One line for people.
impl fmt::Display for AdviceView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, since {}: {}", self.severity, self.since, self.text)
    }
}

impl AdviceView {
    /// Says it in full.
    #[must_use]
    pub(super) fn new(server: &Server, known: &ServerProfile, advice: &Advice, clock: WallClock) -> Self {
        let suggested = Suggested::new(server, known, advice.finding);
        Self {
            server: server.endpoint.to_string(),
            role: server.role.name(),
            netns: server.netns,
            kind: advice.finding.kind(),
            severity: advice.severity.name(),
            since: clock.format(advice.since),
            last_seen: clock.format(advice.finding.last_seen(known)),
            text: text::sentences(server, known, advice.finding, &suggested),
            evidence: Evidence::new(known, advice.finding),
            suggested,
        }
    }
}

impl Evidence {
    fn new(known: &ServerProfile, finding: Finding) -> Self {
        let (by_server, by_client) = (known.timeout(), known.by_client.ages.timeout());
        Self {
            server_timeout_seconds: by_server.map(|timeout| seconds(timeout.lower)),
            server_timeout_upper_seconds: by_server.map(|timeout| seconds(timeout.upper)),
            server_timeout_samples: by_server.map_or(0, |timeout| timeout.samples),
            client_timeout_seconds: by_client.map(|timeout| seconds(timeout.lower)),
            client_timeout_samples: by_client.map_or(0, |timeout| timeout.samples),
            idle_closes_by_server: known.by_server.count,
            idle_closes_by_client: known.by_client.count,
            races: finding.races(known).count,
            requests_per_connection: match finding {
                Finding::RequestLimit(requests) => Some(requests),
                _ => None,
            },
            path_bound_seconds: match finding {
                Finding::PathForgets(path) => Some(seconds(path.bound)),
                _ => None,
            },
            reuses: known.reuses.map(|reuses| reuses.count),
            late_reuses: known.reuses.map(|reuses| reuses.late),
        }
    }
}
