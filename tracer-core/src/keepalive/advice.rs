//! What to change, where there is evidence that something should be.

use std::{
    fmt::{self, Write as _},
    time::Duration,
};

use serde::Serialize;

use super::{
    finding::{Advice, Finding},
    idle_ages::Timeout,
    profile::{Reuses, ServerProfile},
    settings::{Setting, settings},
};
use crate::model::{Role, Server, WallClock, seconds, spoken};

/// The timeout that servers behind a proxy get unless more is known: proxies keep connections for 60 s by default.
const BEHIND_A_PROXY: Duration = Duration::from_secs(65);

/// Added before cutting to whole seconds, to round.
const HALF_A_SECOND: Duration = Duration::from_millis(500);

/// The longest idle timeout for clients of a server that closes after `timeout`.
#[must_use]
pub(super) fn client_timeout(timeout: Duration) -> Duration {
    if timeout < Duration::from_secs(2) {
        return Duration::from_millis(u64::try_from(timeout.as_millis() / 2).unwrap_or(u64::MAX));
    }
    Duration::from_secs(timeout.saturating_sub(margin(timeout)).as_secs())
}

/// An idle timeout for the server, where its clients close after `clients`, that lets them close first. `None` where
/// nothing is known of clients that keep connections for longer than a proxy does.
#[must_use]
pub(super) fn server_timeout(server: Duration, clients: Option<Duration>) -> Option<Duration> {
    match clients {
        Some(clients) => Some(Duration::from_secs((clients + margin(clients) + HALF_A_SECOND).as_secs())),
        None => (server < BEHIND_A_PROXY).then_some(BEHIND_A_PROXY),
    }
}

/// What must lie between the two timeouts: timers are late, and requests are under way for a while.
fn margin(timeout: Duration) -> Duration {
    (timeout / 10).clamp(Duration::from_secs(1), Duration::from_secs(5))
}

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
    pub(crate) server_timeout_samples: u64,
    pub(crate) client_timeout_seconds: Option<f64>,
    pub(crate) client_timeout_samples: u64,
    pub(crate) idle_closes_by_server: u64,
    pub(crate) idle_closes_by_client: u64,
    pub(crate) races: u64,
    pub(crate) requests_per_connection: Option<u32>,
    pub(crate) reuses: Option<u64>,
    pub(crate) late_reuses: Option<u64>,
}

/// What to set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Suggested {
    pub(crate) client_timeout_seconds: Option<f64>,
    pub(crate) server_timeout_seconds: Option<f64>,
    pub(crate) settings: Vec<Setting>,
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
        let (by_server, by_client) = (known.by_server.ages.timeout(), known.by_client.ages.timeout());
        let suggested = Suggested::new(server, known, advice.finding);
        Self {
            server: server.endpoint.to_string(),
            role: server.role.name(),
            netns: server.netns,
            kind: advice.finding.kind(),
            severity: advice.severity.name(),
            since: clock.format(advice.since),
            last_seen: clock.format(advice.finding.last_seen(known)),
            text: text(server, known, advice.finding, &suggested),
            evidence: Evidence {
                server_timeout_seconds: by_server.map(|timeout| seconds(timeout.value)),
                server_timeout_samples: by_server.map_or(0, |timeout| timeout.samples),
                client_timeout_seconds: by_client.map(|timeout| seconds(timeout.value)),
                client_timeout_samples: by_client.map_or(0, |timeout| timeout.samples),
                idle_closes_by_server: known.by_server.count,
                idle_closes_by_client: known.by_client.count,
                races: advice.finding.races(known).count,
                reuses: known.reuses.map(|reuses| reuses.count),
                late_reuses: known.reuses.map(|reuses| reuses.late),
                requests_per_connection: match advice.finding {
                    Finding::RequestLimit(requests) => Some(requests),
                    Finding::ServerClosesFirst(_) => None,
                },
            },
            suggested,
        }
    }
}

impl Suggested {
    fn new(server: &Server, known: &ServerProfile, finding: Finding) -> Self {
        let Finding::ServerClosesFirst(timeout) = finding else {
            return Self { client_timeout_seconds: None, server_timeout_seconds: None, settings: Vec::new() };
        };
        let client = known.longer_client_timeout().map(|client| client.value);
        let shorter = client_timeout(timeout.value);
        // A server that browsers talk to must not keep their connections for longer: it may have one process for each.
        let may_face_browsers = server.role == Role::Server && known.idle_races.count == 0;
        let longer = server_timeout(timeout.value, client).filter(|_| !may_face_browsers);
        let mut lines = settings(Role::Client, server.role, shorter, client);
        lines.extend(
            longer
                .into_iter()
                .flat_map(|longer| settings(Role::Server, server.role, longer, Some(timeout.value))),
        );
        Self {
            client_timeout_seconds: Some(seconds(shorter)),
            server_timeout_seconds: longer.map(seconds),
            settings: lines,
        }
    }

    /// The lines worth a place in a sentence: those of likely software; of clients nginx's where none is likely.
    fn examples(&self) -> impl Iterator<Item = &Setting> {
        let first_client = self.settings.iter().position(|setting| setting.side == "client");
        self.settings
            .iter()
            .enumerate()
            .filter(move |(index, setting)| setting.likely || Some(*index) == first_client)
            .map(|(_, setting)| setting)
    }
}

/// The whole advice in a few sentences.
fn text(server: &Server, known: &ServerProfile, finding: Finding, suggested: &Suggested) -> String {
    let endpoint = server.endpoint;
    match finding {
        Finding::ServerClosesFirst(timeout) => closes_first(server, known, timeout, suggested),
        Finding::RequestLimit(requests) => format!(
            "{endpoint} ends connections after about {requests} requests, right behind a response, and the next \
             request is reset: a limit on requests, not a timeout. Raise or remove it (nginx keepalive_requests, \
             Apache MaxKeepAliveRequests), or let clients retry."
        ),
    }
}

fn closes_first(server: &Server, known: &ServerProfile, timeout: Timeout, suggested: &Suggested) -> String {
    let clients = known.longer_client_timeout().map_or_else(String::new, |client| {
        format!(", who close at {} ({} seen)", spoken(client.value), counted(client.samples, "close"))
    });
    let races = match known.idle_races.count {
        0 => String::from(". No request has met such a close yet"),
        races => format!("; {} met such a close and failed", counted(races, "request")),
    };
    let late = known.reuses.map_or_else(String::new, |Reuses { count, late }| {
        format!(
            "; {late} of {} came when it had been idle for 80 % of that or longer",
            counted(count, "reuse")
        )
    });
    let longer = suggested
        .server_timeout_seconds
        .map_or_else(|| String::from("longer than its clients do"), |longer| format!("{longer} s"));
    let mut text = format!(
        "{} closes connections that were idle for {} ({} seen) while {} still keep them{clients}{late}{races}. Let the \
         client close first: let it keep idle connections for {} at most, or let the server wait {longer}.",
        server.endpoint,
        spoken(timeout.value),
        counted(timeout.samples, "close"),
        whose(server.role),
        spoken(client_timeout(timeout.value)),
    );
    for Setting { software, side, line, .. } in suggested.examples() {
        let _ = write!(text, " {software} as {side}: `{line}`.");
    }
    if server.role == Role::Server {
        text += " Browsers retry such requests by themselves, proxies and API clients mostly do not.";
    }
    text
}

fn whose(role: Role) -> &'static str {
    match role {
        Role::Client => "this host's clients",
        Role::Server => "its clients",
    }
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// One line for the log: what appeared or changed.
#[must_use]
pub(super) fn sentence(server: &Server, known: &ServerProfile, finding: Finding) -> String {
    text(server, known, finding, &Suggested::new(server, known, finding))
}
