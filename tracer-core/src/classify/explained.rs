//! A judged reset, and how people and programs get to read it.

use std::{fmt, net::SocketAddr};

use serde::Serialize;

use super::{
    cause::Crossing,
    last_request::last_request_line,
    mechanism::{Errno, Mechanism},
    verdict::Verdict,
};
use crate::{
    decode::KernelFacts,
    matching::{Incident, Known, Unmatched},
    model::{
        ConnectionId, KernelNs, Method, RequestLine, Role, TcpState, WallClock, WallTime, rounded, seconds,
    },
};

/// A reset with all that is known of it and what it meant.
#[derive(Clone, Debug)]
pub struct ExplainedIncident {
    /// Its number, counted from 0.
    pub id: u64,
    /// What it meant.
    pub verdict: Verdict,
    /// The kernel's reason, by name where it has one.
    kernel_reason: Option<String>,
    /// The other end is on this host too, and what it knows went into the verdict.
    pub twin: bool,
    pub(crate) incident: Incident,
}

impl ExplainedIncident {
    pub(crate) fn new(
        id: u64,
        incident: Incident,
        verdict: Verdict,
        twin: bool,
        facts: &KernelFacts,
    ) -> Self {
        let name = |reason| facts.reasons.name(reason).map_or_else(|| reason.to_string(), str::to_owned);
        Self { id, verdict, kernel_reason: incident.reason.map(name), twin, incident }
    }

    /// When the first RST segment was seen.
    #[must_use]
    pub fn at(&self) -> KernelNs {
        self.incident.at
    }

    /// What this host is on the connection.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        self.incident.role
    }

    /// The server end of the connection.
    #[must_use]
    pub fn server(&self) -> Option<SocketAddr> {
        self.incident.flow.server(self.incident.role)
    }

    /// The method of the last request, where it is known.
    #[must_use]
    pub fn method(&self) -> Option<Method> {
        self.last_request_line().map(|line| line.method)
    }

    /// Why nothing is known of the connection.
    #[must_use]
    pub fn unmatched(&self) -> Option<Unmatched> {
        match self.incident.known() {
            Some(Known::Nothing(why)) => Some(*why),
            _ => None,
        }
    }

    /// The connection's name at both of its ends, where both initial sequence numbers are known.
    #[must_use]
    pub fn connection(&self) -> Option<ConnectionId> {
        self.incident.connection()
    }

    fn last_request_line(&self) -> Option<&RequestLine> {
        last_request_line(&self.incident, self.verdict.cause)
    }
}

/// One reset as the contract shows it: the README explains the fields. Unknown is `null`, never 0; times are in
/// seconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IncidentView {
    /// The incident's number, counted from 0.
    #[serde(skip)]
    pub id: u64,
    pub(crate) time: WallTime,
    pub(crate) direction: Option<&'static str>,
    pub(crate) ended_by: &'static str,
    pub(crate) role: &'static str,
    pub(crate) cause: &'static str,
    pub(crate) race: Option<&'static str>,
    pub(crate) mechanism: Option<&'static str>,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) server: Option<SocketAddr>,
    pub(crate) netns: u32,
    pub(crate) state: Option<&'static str>,
    pub(crate) kernel_reason: Option<String>,
    pub(crate) errno: Option<&'static str>,
    pub(crate) matched: &'static str,
    pub(crate) idle_seconds: Option<f64>,
    pub(crate) request_to_reset_seconds: Option<f64>,
    pub(crate) fin_to_request_seconds: Option<f64>,
    pub(crate) since_response_seconds: Option<f64>,
    pub(crate) connection_age_seconds: Option<f64>,
    pub(crate) bytes_sent: Option<u64>,
    pub(crate) bytes_received: Option<u64>,
    pub(crate) srtt_seconds: Option<f64>,
    /// RST segments seen so far.
    pub rst_segments: u32,
    pub(crate) requests: Option<u32>,
    pub(crate) method: Option<&'static str>,
    pub(crate) path: Option<String>,
}

impl IncidentView {
    /// Puts a reset into the contract's form.
    #[must_use]
    pub fn new(reset: &ExplainedIncident, clock: WallClock) -> Self {
        let ExplainedIncident { incident, verdict, .. } = reset;
        let traffic = incident.socket().map(|socket| &socket.traffic);
        let line = reset.last_request_line();
        Self {
            id: reset.id,
            time: clock.at(incident.at),
            direction: verdict.ended.direction(),
            ended_by: verdict.ended.by(),
            role: Role::label(incident.role),
            cause: verdict.cause.name(),
            race: verdict.cause.crossing().map(Crossing::name),
            mechanism: verdict.ended.mechanism().map(Mechanism::name),
            local: incident.flow.local,
            remote: incident.flow.remote,
            server: reset.server(),
            netns: incident.flow.netns,
            state: incident.state().map(TcpState::name),
            kernel_reason: reset.kernel_reason.clone(),
            errno: verdict.errno.map(Errno::name),
            matched: incident.matched(),
            idle_seconds: verdict.idle.map(seconds),
            request_to_reset_seconds: verdict.request_to_reset.map(seconds),
            fin_to_request_seconds: verdict.fin_to_request.map(rounded),
            since_response_seconds: verdict.since_response.map(seconds),
            // The socket does not remember when it was opened, unless no payload ever passed.
            connection_age_seconds: traffic
                .filter(|traffic| !traffic.any() && incident.state() != Some(TcpState::SynSent))
                .map(|traffic| seconds(incident.at.since(traffic.last_activity()))),
            bytes_sent: traffic.map(|traffic| traffic.sent),
            bytes_received: traffic.map(|traffic| traffic.received),
            srtt_seconds: traffic.and_then(|traffic| traffic.srtt).map(seconds),
            rst_segments: incident.segments,
            requests: traffic.and_then(|traffic| traffic.requests),
            method: line.map(|line| line.method.name()),
            path: line.and_then(|line| line.path.clone()),
        }
    }
}

/// One line for people: when, what, for which server, between whom, and how long things took.
impl fmt::Display for IncidentView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:<8} {:<7} {}", self.time, self.direction.unwrap_or("-"), self.role, self.cause)?;
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
