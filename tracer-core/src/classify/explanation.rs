//! One incident in one sentence: what happened; what it cost; what to do.

use std::{fmt, time::Duration};

use serde::{Serialize, Serializer};

use super::{
    cause::{Cause, Crossing},
    mechanism::Ended,
    request_read::RequestRead,
    verdict::Verdict,
};
use crate::model::spoken;

/// The sentence. It is written where it is read, and costs nothing before.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Explanation(pub(super) Verdict);

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}; {}.", happened(&self.0), cost(&self.0), remedy(self.0.cause))
    }
}

impl Serialize for Explanation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn happened(verdict: &Verdict) -> String {
    let ended = match verdict.ended {
        Ended::ResetSent(_) | Ended::ResetReceived => "reset",
        Ended::FinSent | Ended::FinReceived => "closed",
        Ended::TimedOut | Ended::Unreachable => "ended",
    };
    let after_request = told(verdict.request_to_reset, |time| format!(" {time} after the request"));
    match verdict.cause {
        Cause::Refused => {
            "Nothing listens on the server's port, and its host answered the SYN with a RST".into()
        }
        Cause::Unreachable => {
            "No connection came to be, because SYNs went unanswered or there is no route".into()
        }
        Cause::BacklogOverflow => {
            "The handshake was reset before the server accepted it, as happens when its accept queue is full"
                .into()
        }
        Cause::Killed => {
            "Somebody killed the connection, as ss -K does, or closed a listener before it had accepted it"
                .into()
        }
        Cause::OutOfResources => {
            "The kernel ended the connection because TCP's memory or orphans had reached their limit".into()
        }
        Cause::TcpKeepalive => {
            "The other end left TCP keepalive probes unanswered, and the kernel gave the connection up".into()
        }
        Cause::ConnectionLost => format!(
            "The other end fell silent until retransmissions or the user timeout ran out{after_request}"
        ),
        Cause::ProtocolError => {
            "A wrong acknowledgment, sequence number, timestamp or flag made the kernel reset the connection"
                .into()
        }
        Cause::StaleConnection => "A segment met a host that does not know its connection".into(),
        Cause::NoRequest => {
            "The connection ended before the client had sent anything, as with health checks and scans".into()
        }
        Cause::KeepaliveRace(crossing) => {
            let idle = told(verdict.idle, |time| format!(", idle for {time},"));
            format!("The server closed the connection{idle} {}", crossed(crossing))
        }
        Cause::ResetOnReuse => {
            let rest = verdict.idle.map_or_else(|| String::from("a rest"), spoken);
            format!(
                "The first request after {rest} was reset, and nothing shows who had forgotten the connection"
            )
        }
        Cause::NeverRead => {
            let time = told(verdict.request_to_reset, |time| format!(" for {time}"));
            format!(
                "The request lay unread{time} until the server closed or died, longer than a race explains"
            )
        }
        Cause::EarlyClose => {
            "The server answered and closed while the client was still sending, and the answer may be lost"
                .into()
        }
        Cause::ClientAbort => {
            format!("The client {ended} the connection{after_request} while an exchange was open")
        }
        Cause::AwaitingResponse => {
            format!("The server's side {ended} the connection{after_request} without a byte of response")
        }
        Cause::ResponseCut => {
            "The connection was reset during the response, or so soon behind it that its end may be lost"
                .into()
        }
        Cause::AfterResponse => {
            let time = told(verdict.since_response, |time| format!(" {time} after the last response"));
            format!("The connection was {ended}{time}, with no request open")
        }
        Cause::Unknown => format!("The connection was {ended}, and nothing shows why"),
    }
}

fn crossed(crossing: Crossing) -> &'static str {
    match crossing {
        Crossing::FinNotSent => "with the next request already in its queue",
        Crossing::FinInFlight => "while the next request was on its way",
        Crossing::FinUnprocessed => "and the client sent the next request before it noticed",
        Crossing::Unknown => "just as the next request was sent",
    }
}

/// What it cost. That a request may be sent again is said only where no byte of it was read, as is proven.
fn cost(verdict: &Verdict) -> &'static str {
    match (verdict.request_read, verdict.cause) {
        (_, cause) if !cause.is_failure() => "no request was lost",
        (RequestRead::Never, _) => "the server never read the request, so it may be sent again",
        (RequestRead::Partly, _) => "the server had read part of the request and may have acted",
        (RequestRead::Yes, _) => "the server had read the request and may have acted on it",
        (RequestRead::Unknown, Cause::Refused | Cause::Unreachable) => "no request could be sent",
        (RequestRead::Unknown, cause) if may_carry_no_request(cause) => {
            "whether a request was lost is not known"
        }
        (RequestRead::Unknown, _) => "whether the server read the request is not known",
    }
}

/// Whether it says of the connection only how it ended.
fn may_carry_no_request(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::BacklogOverflow
            | Cause::Killed
            | Cause::OutOfResources
            | Cause::TcpKeepalive
            | Cause::ProtocolError
            | Cause::StaleConnection
            | Cause::Unknown
    )
}

fn remedy(cause: Cause) -> &'static str {
    match cause {
        Cause::Refused => "start the server or correct the address",
        Cause::Unreachable => "look at the address, the host, the path and its firewalls",
        Cause::BacklogOverflow => "raise the backlog or accept faster",
        Cause::Killed => "look at who restarts the server",
        Cause::OutOfResources => "raise net.ipv4.tcp_mem or tcp_max_orphans, or open fewer connections",
        Cause::TcpKeepalive => "look whether the other host or the path is gone",
        Cause::ConnectionLost => "look for packet loss, a firewall or a dead host",
        Cause::ProtocolError => "look for a middlebox that changes packets",
        Cause::StaleConnection => "look for a restart, a failover or an expired NAT entry",
        Cause::NoRequest => "there is nothing to do",
        Cause::KeepaliveRace(_) => "let clients close first, with an idle timeout shorter than the server's",
        Cause::ResetOnReuse => "compare the idle timeouts of both ends and of NAT and balancers between them",
        Cause::NeverRead => "look for a hang, a kill or overload at the server",
        Cause::EarlyClose => "let the server read whole requests, or send smaller ones",
        Cause::ClientAbort => "compare the client's timeout with the response time",
        Cause::AwaitingResponse => "look for a crash, a restart or a timeout at the server",
        Cause::ResponseCut => "let the server read whole requests and close in order",
        Cause::AfterResponse => "whoever resets idle connections could close them in order instead",
        Cause::Unknown => "compare it with the logs of both ends at this moment",
    }
}

/// What there is to say of a time that is known, else nothing.
fn told(time: Option<Duration>, say: impl FnOnce(String) -> String) -> String {
    time.map(|time| say(spoken(time))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::{CAUSES, Mechanism};

    fn verdict(cause: Cause, ended: Ended, request_read: RequestRead) -> Verdict {
        Verdict {
            cause,
            ended,
            request_read,
            errno: None,
            idle: Some(Duration::from_secs(5)),
            request_to_reset: Some(Duration::from_millis(3_200)),
            fin_to_request: None,
            since_response: Some(Duration::from_millis(12)),
        }
    }

    /// Every cause, as it mostly ends.
    fn typical() -> Vec<(Cause, Ended)> {
        use Ended::{FinReceived, FinSent, ResetReceived, TimedOut, Unreachable};
        let sent = Ended::ResetSent(Mechanism::UnreadClose);
        vec![
            (Cause::Refused, ResetReceived),
            (Cause::Unreachable, Unreachable),
            (Cause::BacklogOverflow, sent),
            (Cause::Killed, sent),
            (Cause::OutOfResources, sent),
            (Cause::TcpKeepalive, sent),
            (Cause::ConnectionLost, TimedOut),
            (Cause::ProtocolError, sent),
            (Cause::StaleConnection, sent),
            (Cause::NoRequest, ResetReceived),
            (Cause::KeepaliveRace(Crossing::FinNotSent), sent),
            (Cause::ResetOnReuse, ResetReceived),
            (Cause::NeverRead, sent),
            (Cause::EarlyClose, sent),
            (Cause::ClientAbort, FinReceived),
            (Cause::AwaitingResponse, FinSent),
            (Cause::ResponseCut, ResetReceived),
            (Cause::AfterResponse, ResetReceived),
            (Cause::Unknown, ResetReceived),
        ]
    }

    #[test]
    fn every_cause_has_one_sentence_that_is_short_enough_to_read() {
        let names: Vec<_> = typical().iter().map(|(cause, _)| cause.name()).collect();
        assert_eq!(names, CAUSES.iter().map(|row| row.name).collect::<Vec<_>>());
        for (cause, ended) in typical() {
            for read in RequestRead::ALL {
                for times in [true, false] {
                    let mut verdict = verdict(cause, ended, read);
                    if !times {
                        (verdict.idle, verdict.request_to_reset, verdict.since_response) = (None, None, None);
                    }
                    let text = Explanation(verdict).to_string();
                    let words = text.split(' ').count();
                    assert!((20..=42).contains(&words), "{words} words: {text}");
                    assert!(text.ends_with('.') && !text.contains(". "), "{text}");
                    assert!(text.starts_with(char::is_uppercase), "{text}");
                    assert!(!text.contains("  ") && !text.contains(" ,"), "{text}");
                }
            }
        }
    }

    #[test]
    fn a_request_may_be_sent_again_only_where_it_was_never_read() {
        for (cause, ended) in typical() {
            for read in RequestRead::ALL {
                let text = Explanation(verdict(cause, ended, read)).to_string();
                let expected = read == RequestRead::Never && cause.is_failure();
                assert_eq!(text.contains("may be sent again"), expected, "{text}");
                assert_eq!(text.contains("no request was lost"), !cause.is_failure(), "{text}");
            }
        }
    }

    #[test]
    fn it_says_what_happened_what_it_cost_and_what_to_do() {
        let reset = Ended::ResetReceived;
        for (cause, ended, read, text) in [
            (
                Cause::KeepaliveRace(Crossing::FinInFlight),
                reset,
                RequestRead::Never,
                "The server closed the connection, idle for 5 s, while the next request was on its way; the server \
                 never read the request, so it may be sent again; let clients close first, with an idle timeout \
                 shorter than the server's.",
            ),
            (
                Cause::AwaitingResponse,
                Ended::FinReceived,
                RequestRead::Yes,
                "The server's side closed the connection 3.2 s after the request without a byte of response; the \
                 server had read the request and may have acted on it; look for a crash, a restart or a timeout at \
                 the server.",
            ),
            (
                Cause::NeverRead,
                reset,
                RequestRead::Unknown,
                "The request lay unread for 3.2 s until the server closed or died, longer than a race explains; \
                 whether the server read the request is not known; look for a hang, a kill or overload at the server.",
            ),
            (
                Cause::AfterResponse,
                reset,
                RequestRead::Yes,
                "The connection was reset 12 ms after the last response, with no request open; no request was lost; \
                 whoever resets idle connections could close them in order instead.",
            ),
        ] {
            assert_eq!(Explanation(verdict(cause, ended, read)).to_string(), text);
        }
    }
}
