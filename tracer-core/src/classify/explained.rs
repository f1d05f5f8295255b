//! A judged reset, and how people and programs get to read it.

use std::{fmt, net::SocketAddr, time::Duration};

use serde::Serialize;

use crate::{
    classify::cause::{Errno, Mechanism, Race},
    classify::rules::Verdict,
    decode::reasons::Reasons,
    matching::incident::{MatchedReset, Trigger},
    model::event::{Role, TcpState},
    model::time::{WallClock, WallTime},
};

/// The server end of a connection as seen from this host: what joins the series of both hosts.
#[must_use]
pub fn server_endpoint(role: Role, local: SocketAddr, remote: SocketAddr) -> Option<SocketAddr> {
    match role {
        Role::Server => Some(local),
        Role::Client => Some(remote),
        Role::Unknown => None,
    }
}

/// Which way a RST went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// This host sent it.
    Sent,
    /// This host received it.
    Received,
}

impl Direction {
    /// The name used in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Received => "received",
        }
    }
}

impl MatchedReset {
    /// Which way the RST went.
    #[must_use]
    pub fn direction(&self) -> Direction {
        match self.trigger {
            Trigger::Received => Direction::Received,
            _ => Direction::Sent,
        }
    }

    /// The server end of the connection.
    #[must_use]
    pub fn server(&self) -> Option<SocketAddr> {
        server_endpoint(self.role, self.flow.local, self.flow.remote)
    }
}

/// One reset as the contract shows it. Unknown is `null`, never 0; times are in seconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the field names are the contract's, explained in the README")]
pub struct ResetView {
    #[serde(skip)]
    pub id: u64,
    pub time: WallTime,
    pub direction: &'static str,
    pub role: &'static str,
    pub cause: &'static str,
    pub race: Option<&'static str>,
    pub mechanism: Option<&'static str>,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub server: Option<SocketAddr>,
    pub netns: u32,
    pub state: Option<&'static str>,
    pub kernel_reason: Option<String>,
    pub errno: Option<&'static str>,
    pub matched: &'static str,
    pub idle_seconds: Option<f64>,
    pub request_to_reset_seconds: Option<f64>,
    pub fin_to_request_seconds: Option<f64>,
    pub since_response_seconds: Option<f64>,
    pub connection_age_seconds: Option<f64>,
    pub bytes_sent: Option<u64>,
    pub bytes_received: Option<u64>,
    pub srtt_seconds: Option<f64>,
    pub rst_segments: u32,
    pub requests: Option<u32>,
    pub method: Option<&'static str>,
    pub path: Option<String>,
}

impl ResetView {
    /// Puts a reset and its verdict into the contract's form.
    #[must_use]
    pub fn new(reset: &MatchedReset, verdict: &Verdict, clock: WallClock, reasons: &Reasons) -> Self {
        let traffic = reset.socket.as_ref().map(|socket| &socket.traffic);
        let line = reset.last_request_line(verdict.cause);
        Self {
            id: reset.id,
            time: clock.at(reset.at),
            direction: reset.direction().name(),
            role: reset.role.name(),
            cause: verdict.cause.name(),
            race: verdict.race.map(Race::name),
            mechanism: verdict.mechanism.map(Mechanism::name),
            local: reset.flow.local,
            remote: reset.flow.remote,
            server: reset.server(),
            netns: reset.flow.netns,
            state: reset.state.map(TcpState::name),
            kernel_reason: reset
                .reason
                .map(|number| reasons.name(number).map_or_else(|| number.to_string(), str::to_owned)),
            errno: verdict.errno.map(Errno::name),
            matched: reset.matched.name(),
            idle_seconds: verdict.idle.map(seconds),
            request_to_reset_seconds: verdict.request_to_reset.map(seconds),
            fin_to_request_seconds: verdict.fin_to_request.map(rounded),
            since_response_seconds: verdict.since_response.map(seconds),
            // The socket does not remember when it was opened, unless no payload ever passed.
            connection_age_seconds: traffic
                .filter(|traffic| !traffic.any() && reset.state != Some(TcpState::SynSent))
                .map(|traffic| seconds(reset.at.since(traffic.last_activity()))),
            bytes_sent: traffic.map(|traffic| traffic.sent),
            bytes_received: traffic.map(|traffic| traffic.received),
            srtt_seconds: traffic.and_then(|traffic| traffic.srtt).map(seconds),
            rst_segments: reset.segments,
            requests: traffic.and_then(|traffic| traffic.requests),
            method: line.map(|line| line.method.name()),
            path: line.and_then(|line| line.path.clone()),
        }
    }
}

/// A time as JSON shows it.
pub(crate) fn seconds(duration: Duration) -> f64 {
    rounded(duration.as_secs_f64())
}

/// Microseconds are finer than anything the kernel remembers.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}

/// One line for people: when, what, for which server, between whom, and how long things took.
impl fmt::Display for ResetView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:<8} {:<7} {}", self.time, self.direction, self.role, self.cause)?;
        if let Some(race) = self.race {
            write!(f, "/{race}")?;
        }
        match self.server {
            Some(server) => write!(f, " server={server}")?,
            None => f.write_str(" server=unknown")?,
        }
        write!(f, " {} -> {}", self.local, self.remote)?;
        for (name, value) in [
            ("idle", self.idle_seconds),
            ("request_to_reset", self.request_to_reset_seconds),
            ("fin_to_request", self.fin_to_request_seconds),
            ("since_response", self.since_response_seconds),
        ] {
            if let Some(value) = value {
                write!(f, " {name}={value:.3}s")?;
            }
        }
        for (name, value) in [("errno", self.errno), ("mechanism", self.mechanism), ("state", self.state)] {
            if let Some(value) = value {
                write!(f, " {name}={value}")?;
            }
        }
        if let Some(reason) = &self.kernel_reason {
            write!(f, " reason={reason}")?;
        }
        if let Some(requests) = self.requests {
            write!(f, " requests={requests}")?;
        }
        if let Some(method) = self.method {
            write!(f, " method={method}")?;
        }
        if let Some(path) = &self.path {
            write!(f, " path={path}")?;
        }
        write!(f, " segments={}", self.rst_segments)
    }
}
