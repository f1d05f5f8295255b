//! What to set to what.

use std::time::Duration;

use serde::Serialize;

use super::{
    ages::Timeout,
    finding::Finding,
    profile::ServerProfile,
    settings::{Setting, is_http_possible, settings},
};
use crate::model::{Role, Server, seconds};

/// The timeout that servers behind a proxy get unless more is known: proxies keep connections for 60 s by default.
const BEHIND_A_PROXY: Duration = Duration::from_secs(65);

/// Added before cutting to whole seconds, to round.
const HALF_A_SECOND: Duration = Duration::from_millis(500);

/// What to set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Suggested {
    pub(crate) client_timeout_seconds: Option<f64>,
    pub(crate) server_timeout_seconds: Option<f64>,
    pub(crate) settings: Vec<Setting>,
}

impl Suggested {
    /// What follows from a finding.
    #[must_use]
    pub(super) fn new(server: &Server, known: &ServerProfile, finding: Finding) -> Self {
        match finding {
            Finding::ServerClosesFirst(timeout) => Self::timeouts(server, known, &timeout),
            Finding::ThinMargin(margin) => Self::timeouts(server, known, &margin.server),
            Finding::RequestLimit(_) => {
                Self { client_timeout_seconds: None, server_timeout_seconds: None, settings: Vec::new() }
            }
            // The server's timeout has nothing to do with it.
            Finding::PathForgets(path) => {
                let shorter = client_timeout(path.bound, Duration::ZERO);
                Self {
                    client_timeout_seconds: Some(seconds(shorter)),
                    server_timeout_seconds: None,
                    settings: lines(Role::Client, server, shorter, None),
                }
            }
        }
    }

    fn timeouts(server: &Server, known: &ServerProfile, timeout: &Timeout) -> Self {
        let client = known.longer_client_timeout();
        let jitter = timeout.jitter + client.map_or(Duration::ZERO, |client| client.jitter);
        let shorter = client_timeout(timeout.lower, jitter);
        // A server that browsers talk to must not keep their connections for longer: it may have one process for each.
        let may_face_browsers = server.role == Role::Server && known.idle_races.explained.count == 0;
        let longer = server_timeout(server, timeout.lower, client, jitter).filter(|_| !may_face_browsers);
        let mut settings = lines(Role::Client, server, shorter, client.map(|client| client.lower));
        settings.extend(
            longer.into_iter().flat_map(|longer| lines(Role::Server, server, longer, Some(timeout.lower))),
        );
        Self {
            client_timeout_seconds: Some(seconds(shorter)),
            server_timeout_seconds: longer.map(seconds),
            settings,
        }
    }

    /// The lines worth a place in a sentence: those of software whose default is what was seen, which makes it likely
    /// that this is HTTP; then also the first one of clients.
    pub(super) fn examples(&self) -> impl Iterator<Item = &Setting> {
        let is_http = self.settings.iter().any(|setting| setting.likely);
        let first_client = self.settings.iter().position(|setting| setting.side == "client");
        let first_client = first_client.filter(|_| is_http);
        self.settings
            .iter()
            .enumerate()
            .filter(move |(index, setting)| setting.likely || Some(*index) == first_client)
            .map(|(_, setting)| setting)
    }
}

/// The lines of one end's software; none where it cannot be HTTP.
fn lines(end: Role, server: &Server, timeout: Duration, seen: Option<Duration>) -> Vec<Setting> {
    if is_http_possible(server.endpoint.port()) {
        settings(end, server.role, timeout, seen)
    } else {
        Vec::new()
    }
}

/// The longest idle timeout for clients of a server that closes after `timeout`.
fn client_timeout(timeout: Duration, jitter: Duration) -> Duration {
    if timeout < Duration::from_secs(2) {
        return Duration::from_millis(u64::try_from(timeout.as_millis() / 2).unwrap_or(u64::MAX));
    }
    let shorter = timeout.saturating_sub(margin(timeout, jitter));
    Duration::from_secs(shorter.as_secs().max(1))
}

/// An idle timeout for the server that lets its `clients` close first. `None` where nothing is known of clients that
/// keep connections for longer than a proxy does.
fn server_timeout(
    server: &Server,
    timeout: Duration,
    clients: Option<Timeout>,
    jitter: Duration,
) -> Option<Duration> {
    match clients {
        Some(Timeout { upper, .. }) => {
            Some(Duration::from_secs((upper + margin(upper, jitter) + HALF_A_SECOND).as_secs()))
        }
        None => {
            (timeout < BEHIND_A_PROXY && is_http_possible(server.endpoint.port())).then_some(BEHIND_A_PROXY)
        }
    }
}

/// What must lie between the two timeouts: timers are late, by at least as much as was seen, and requests are under way
/// for a while.
fn margin(timeout: Duration, jitter: Duration) -> Duration {
    (timeout / 10).clamp(Duration::from_secs(1), Duration::from_secs(5)).max(jitter * 2)
}
