//! A judged incident, and how people and programs get to read it.

use std::{fmt, net::SocketAddr};

use serde::Serialize;

use super::{
    cause::{Cause, Crossing},
    explanation::Explanation,
    last_request::last_request_line,
    mechanism::{Errno, Mechanism},
    request_read::RequestRead,
    verdict::Verdict,
};
use crate::{
    decode::KernelFacts,
    matching::{Incident, Known, Unmatched},
    model::{
        CommunityId, ConnectionId, KernelNs, Method, RequestLine, Role, TcpState, WallClock, WallTime,
        rounded, seconds,
    },
};

/// An incident with all that is known of it and what it meant.
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
    /// Something else was seen of the server than that it refuses connections.
    pub server_known: bool,
    pub(crate) incident: Incident,
}

impl ExplainedIncident {
    pub(crate) fn new(
        id: u64,
        incident: Incident,
        verdict: Verdict,
        twin: bool,
        server_known: bool,
        facts: &KernelFacts,
    ) -> Self {
        let name = |reason| facts.reasons.name(reason).map_or_else(|| reason.to_string(), str::to_owned);
        Self { id, verdict, kernel_reason: incident.reason.map(name), twin, server_known, incident }
    }

    /// When it ended: for a reset, when the first RST segment was seen.
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

    /// Whether there is a server at that end. A refusal alone does not show it: whoever scans ports is refused.
    #[must_use]
    pub fn shows_server(&self) -> bool {
        self.server_known || self.verdict.cause != Cause::Refused
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

/// One incident as the contract shows it: the README explains the fields. Unknown is `null`, never 0; times are in
/// seconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IncidentView {
    pub(crate) time: WallTime,
    /// The incident's number, counted from 0.
    pub id: u64,
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) community_id: CommunityId,
    pub(crate) direction: Option<&'static str>,
    /// What ended it: `rst`, `fin`, `timeout` or `unreachable`.
    pub ended_by: &'static str,
    /// What this host is on the connection.
    pub role: &'static str,
    /// The name of its cause.
    pub cause: &'static str,
    pub(crate) race: Option<&'static str>,
    pub(crate) mechanism: Option<&'static str>,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    /// The server end of the connection, where it is known.
    pub server: Option<SocketAddr>,
    pub(crate) netns: u32,
    pub(crate) state: Option<&'static str>,
    pub(crate) kernel_reason: Option<String>,
    pub(crate) errno: Option<&'static str>,
    pub(crate) matched: &'static str,
    pub(crate) twin: bool,
    pub(crate) request_read: &'static str,
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
    pub(crate) explanation: Explanation,
}

impl IncidentView {
    /// Puts an incident into the contract's form.
    #[must_use]
    pub fn new(explained: &ExplainedIncident, clock: WallClock) -> Self {
        let ExplainedIncident { incident, verdict, .. } = explained;
        let traffic = incident.socket().map(|socket| &socket.traffic);
        let line = explained.last_request_line();
        Self {
            time: clock.at(incident.at),
            id: explained.id,
            connection: explained.connection(),
            community_id: CommunityId::of(&incident.flow),
            direction: verdict.ended.direction(),
            ended_by: verdict.ended.by(),
            role: Role::label(incident.role),
            cause: verdict.cause.name(),
            race: verdict.cause.crossing().map(Crossing::name),
            mechanism: verdict.ended.mechanism().map(Mechanism::name),
            local: incident.flow.local,
            remote: incident.flow.remote,
            server: explained.server(),
            netns: incident.flow.netns,
            state: incident.state().map(TcpState::name),
            kernel_reason: explained.kernel_reason.clone(),
            errno: verdict.errno.map(Errno::name),
            matched: incident.matched(),
            twin: explained.twin,
            request_read: verdict.request_read.name(),
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
            explanation: Explanation(verdict.clone()),
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
        let unless = |value, usual| (value != usual).then_some(value);
        for (name, value) in [
            ("ended_by", unless(self.ended_by, "rst")),
            ("request_read", unless(self.request_read, RequestRead::Unknown.name())),
            ("errno", self.errno),
            ("mechanism", self.mechanism),
            ("state", self.state),
        ] {
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
        if self.rst_segments > 0 {
            write!(f, " segments={}", self.rst_segments)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value;

    use super::*;
    use crate::{
        Engine, EngineOptions, Outcome,
        classify::{Cause, Ended, RacePolicy},
        model::{ServerPorts, Side},
        testing::{active, asked, at, facts, fin, server},
    };

    /// In the order in which they are written.
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

    /// A server that closed with a request unread, as the engine judges it.
    fn explained() -> ExplainedIncident {
        let options = EngineOptions {
            race: RacePolicy::default(),
            server_ports: ServerPorts::default(),
            own_server: None,
            max_closed_connections: 16,
            max_servers: 1,
        };
        let mut engine = Engine::new(facts(), options);
        engine.event(at(3_002, fin(Side::Local, server())));
        engine.event(at(3_002, active(asked(), "TCP_ABORT_ON_LINGER")));
        engine.finish();
        let incident = |outcome| match outcome {
            Outcome::Incident(incident) => Some(*incident),
            _ => None,
        };
        engine.outcomes().into_iter().find_map(incident).unwrap()
    }

    fn view(explained: &ExplainedIncident) -> IncidentView {
        IncidentView::new(explained, WallClock::new(Duration::ZERO))
    }

    #[test]
    fn json_has_every_field_in_its_order_whether_it_is_known_or_not() {
        let text = serde_json::to_string(&view(&explained())).unwrap();
        let found: Vec<_> = FIELDS.iter().map(|field| text.find(&format!("\"{field}\":"))).collect();
        assert!(found.iter().all(Option::is_some) && found.is_sorted(), "{text}");
        let object: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(object.as_object().unwrap().len(), FIELDS.len(), "{text}");
        assert_eq!(object["id"], 0);
        assert_eq!(object["twin"], false);
        // The initial sequence numbers: 8899 of the client, 4799 of the server.
        assert_eq!(object["connection"], "000022c3000012bf");
        assert_eq!(object["community_id"].as_str().map(str::len), Some(30));
    }

    #[test]
    fn what_neither_side_ended_has_no_direction() {
        for (ended, direction, by, line) in [
            (Ended::ResetReceived, Some("received"), "rst", " received server "),
            (Ended::FinSent, Some("sent"), "fin", " sent     server "),
            (Ended::FinReceived, Some("received"), "fin", " received server "),
            (Ended::TimedOut, None, "timeout", " -        server "),
            (Ended::Unreachable, None, "unreachable", " -        server "),
        ] {
            let mut explained = explained();
            explained.verdict.ended = ended;
            let view = view(&explained);
            let object = serde_json::to_value(&view).unwrap();
            assert_eq!((object["direction"].as_str(), object["ended_by"].as_str()), (direction, Some(by)));
            assert!(object["mechanism"].is_null(), "{object}");
            let text = view.to_string();
            assert!(text.contains(line), "{text}");
            assert_eq!(text.contains(&format!(" ended_by={by}")), by != "rst", "{text}");
        }
    }

    #[test]
    fn a_line_says_whether_the_request_was_read_where_it_is_known() {
        for read in RequestRead::ALL {
            let mut explained = explained();
            explained.verdict.cause = Cause::NeverRead;
            explained.verdict.request_read = read;
            let text = view(&explained).to_string();
            let said = format!(" request_read={}", read.name());
            assert_eq!(text.contains(&said), read != RequestRead::Unknown, "{text}");
        }
    }
}
