//! What a reset meant for the requests on its connection: the closed set of causes. Their names are part of the
//! contract with dashboards.

/// Which of the three crossings a keep-alive race was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crossing {
    /// The request was queued before the close.
    FinNotSent,
    /// The request was sent before the FIN arrived.
    FinInFlight,
    /// The client's kernel had the FIN, the application had not noticed.
    FinUnprocessed,
    /// It cannot be told.
    Unknown,
}

impl Crossing {
    /// The name used in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FinNotSent => "fin_not_sent",
            Self::FinInFlight => "fin_in_flight",
            Self::FinUnprocessed => "fin_unprocessed",
            Self::Unknown => "unknown",
        }
    }
}

/// What is said of a cause wherever it is named: in labels, in JSON, on the page and in the README.
#[derive(Debug)]
pub struct CauseRow {
    /// The name used in labels and JSON.
    pub name: &'static str,
    /// What happened.
    pub meaning: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

/// Makes [`Cause`] and [`CAUSES`] of one table.
macro_rules! causes {
    ($($cause:ident $(($with:ty))?: $name:literal, $meaning:literal, $remedy:literal;)*) => {
        /// What a reset meant for the requests on its connection.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Cause {
            $(#[doc = $meaning] $cause $(($with))?,)*
        }

        /// Every cause, in the order in which they are tested.
        pub const CAUSES: &[CauseRow] =
            &[$(CauseRow { name: $name, meaning: $meaning, remedy: $remedy },)*];

        impl Cause {
            /// The name used in labels and JSON.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$cause { .. } => $name,)*
                }
            }
        }
    };
}

causes! {
    Refused: "refused",
        "a SYN met a port without listener",
        "start the server, or correct the address";
    Unreachable: "unreachable",
        "no connection came to be: SYNs went unanswered, or there is no route",
        "look at the address, at the path and its firewalls, and at whether the host is up";
    BacklogOverflow: "backlog_overflow",
        "the accept queue was full, or a handshake was reset",
        "raise the backlog, accept faster";
    Killed: "killed",
        "somebody ended it: `ss -K`, or a listener closed with connections it had not accepted",
        "look at who restarts the server";
    OutOfResources: "out_of_resources",
        "memory or orphan limits",
        "see `net.ipv4.tcp_mem` and `tcp_max_orphans`";
    TcpKeepalive: "tcp_keepalive",
        "TCP keepalive probes went unanswered",
        "the peer or the path is gone";
    ConnectionLost: "connection_lost",
        "retransmissions or the user timeout ran out: the connection died of silence",
        "the peer or the path is gone: look for packet loss, a firewall that drops, a host that died";
    ProtocolError: "protocol_error",
        "wrong acknowledgment, sequence number, timestamp or flag",
        "look for a middlebox";
    StaleConnection: "stale_connection",
        "a segment for a connection this host does not know and did not just close",
        "a restart, failover or expired NAT entry";
    NoRequest: "no_request",
        "the client never sent payload",
        "health checks and port scans: nothing to do";
    KeepaliveRace(Crossing): "keepalive_race",
        "the server closed an idle connection while the next request crossed the close",
        "let the side that sends requests close first: its idle timeout must be shorter than the server's";
    ResetOnReuse: "reset_on_reuse",
        "the first request after a rest was reset, and nothing shows who forgot the connection",
        "look at both ends' idle timeouts, and at what lies between: NAT and balancers forget flows";
    NeverRead: "never_read",
        "the request lay unread until the server closed or died, for longer than a race explains",
        "look for a hang, a kill or overload at the server: no keep-alive setting helps";
    EarlyClose: "early_close",
        "the server had answered and closed while the client was still sending that request",
        "let the server read the whole request, or send smaller ones";
    ClientAbort: "client_abort",
        "the client closed or reset while an exchange was open",
        "it gave up: look at its timeout and the response time";
    AwaitingResponse: "awaiting_response",
        "the server side ended the connection after it took a request, before any response byte",
        "a crash or restart of the server, or its timeout";
    ResponseCut: "response_cut",
        "the reset came while the response was under way, or so soon behind it that its end may be lost",
        "let the server read the whole request and close in order, so that the response is not cut";
    AfterResponse: "after_response",
        "no request was open",
        "an abrupt close of an idle connection; `since_response` says how long it idled";
    Unknown: "unknown",
        "none of these can be shown",
        "it is never guessed";
}

impl Cause {
    /// Whether a request was, or may have been, lost.
    #[must_use]
    pub fn is_failure(self) -> bool {
        !matches!(self, Self::NoRequest | Self::AfterResponse)
    }

    /// Which crossing it was, for a keep-alive race.
    #[must_use]
    pub fn crossing(self) -> Option<Crossing> {
        match self {
            Self::KeepaliveRace(crossing) => Some(crossing),
            _ => None,
        }
    }
}
