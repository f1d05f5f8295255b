//! The ways in which requests are lost, and which causes are right for each: known from what is provoked and from what
//! the applications see, never from the tracer.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::servers::failures::upstream::KEEPS;

/// A way to lose requests.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// What the tracer may say of it.
    pub(crate) right: &'static [&'static str],
    /// What each walker asks for, again and again: the last part of the path.
    pub(crate) actions: &'static [&'static str],
    pub(crate) pause: Pause,
    /// How long the one who asks waits for a connection or an answer, in milliseconds.
    pub(crate) patience: u64,
    pub(crate) breaks: Break,
    /// For how long the server keeps idle connections, in milliseconds.
    pub(crate) keeps: u32,
}

/// How long a walker rests between its requests.
#[derive(Clone, Copy)]
pub(crate) enum Pause {
    /// As long as the server keeps connections: a little less or more.
    AroundTimeout,
    /// A number of milliseconds between these.
    Between(u32, u32),
}

/// What else happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    Nothing,
    /// The server stops to run and has nearly as many connections as may wait, when all walkers connect at once.
    Crowd,
    /// The server stops to run when each walker had one answer, and is killed some seconds later.
    StopAndKill,
    /// `ss -K` when the server has taken the second request of each walker.
    Destroy,
    /// Nothing reaches the server any more when each walker had one answer.
    Silence,
    /// The server's address moves to a host that knows no connection when each walker had one answer.
    FailOver,
}

/// How far a pause is from the server's timeout at most, in milliseconds.
const AROUND: f64 = 3.0;
/// Long enough for a connection to count as idle.
const SHORT: Pause = Pause::Between(80, 160);
/// From one answer to the second request: time enough for the last client to start, and to break something then.
const LONG: Pause = Pause::Between(4_000, 4_000);
/// Longer than anything takes.
const EVER: u32 = 60_000;

impl Pause {
    /// In milliseconds, against a server that was seen to close idle connections after `closes`.
    pub(crate) fn range(self, closes: &RangeInclusive<Duration>) -> [f64; 2] {
        let milliseconds = |time: &Duration| time.as_secs_f64() * 1e3;
        match self {
            Self::AroundTimeout => {
                [(milliseconds(closes.start()) - AROUND).max(0.0), milliseconds(closes.end()) + AROUND]
            }
            Self::Between(from, to) => [from.into(), to.into()],
        }
    }
}

const fn fails(name: &'static str, right: &'static [&'static str], actions: &'static [&'static str]) -> Kind {
    let (breaks, keeps) = (Break::Nothing, KEEPS * 1000);
    Kind { name, right, actions, pause: SHORT, patience: 20_000, breaks, keeps }
}

const fn broken(name: &'static str, right: &'static [&'static str], breaks: Break) -> Kind {
    Kind { pause: LONG, keeps: EVER, breaks, ..fails(name, right, &["ok"]) }
}

/// The server closes an idle connection while the next request is on its way. A server that is kept from running lets
/// that lie unread for longer than a race explains.
pub(crate) const RACE: Kind =
    Kind { pause: Pause::AroundTimeout, ..fails("idle close", &["keepalive_race", "never_read"], &["ok"]) };
/// The same of a server whose event loop reads a request before its timer closes the connection all the same.
pub(crate) const TAKEN_RACE: Kind =
    Kind { right: &["keepalive_race", "never_read", "awaiting_response"], ..RACE };
/// The same behind TLS, where a request may look like a last word, and a last word like a request.
pub(crate) const TLS_RACE: Kind = Kind { right: &["keepalive_race", "unknown"], ..RACE };
/// The same, found out by a pool that has rested for longer: after a last word of the server, or without one.
pub(crate) const LATE: Kind =
    Kind { pause: Pause::Between(1_400, 2_600), ..fails("session timed out", &["keepalive_race"], &["ok"]) };
/// The same of a server that resets idle sessions: the client's host knows before the query, which never leaves.
pub(crate) const LATE_RESET: Kind = Kind { right: &["after_response", "keepalive_race"], ..LATE };
/// A server of HTTP/2 that says GOAWAY to connections that idle or are old.
pub(crate) const GOAWAY: Kind = Kind {
    pause: Pause::Between(400, 2_200),
    ..fails("channel idle or old", &["keepalive_race", "unknown"], &["ok"])
};
/// A limit on requests that the server does not announce: the next request meets the close right behind an answer.
pub(crate) const LIMIT: Kind =
    Kind { pause: Pause::Between(0, 0), ..fails("request limit", &["keepalive_race"], &["ok"]) };
pub(crate) const NO_ANSWER: Kind =
    fails("closes without an answer", &["awaiting_response"], &["ok", "destroy", "destroy"]);
pub(crate) const RESET: Kind =
    fails("resets without an answer", &["awaiting_response"], &["ok", "reset", "reset"]);
pub(crate) const CUT: Kind = fails("answer cut by a reset", &["response_cut"], &["ok", "cut", "cut"]);
pub(crate) const KILLED_WORKER: Kind =
    fails("worker killed", &["awaiting_response"], &["ok", "kill", "kill"]);
/// Behind TLS, on a connection that had an answer: before, the last word of the handshake looks like one.
pub(crate) const TLS_NO_ANSWER: Kind = Kind { actions: &["ok", "destroy"], ..NO_ANSWER };
pub(crate) const TLS_RESET: Kind = Kind { actions: &["ok", "reset"], ..RESET };
pub(crate) const WORKER_TIMEOUT: Kind = fails("worker timed out", &["awaiting_response"], &["ok", "hang"]);
pub(crate) const GAVE_UP: Kind =
    Kind { patience: 1_000, ..fails("client gives up", &["client_abort"], &["ok", "hang"]) };
pub(crate) const HALF_CLOSED: Kind =
    fails("half-closed client dropped", &["awaiting_response"], &["ok", "half", "half"]);
pub(crate) const REFUSED_UPLOAD: Kind =
    fails("slow upload refused", &["early_close"], &["upload-413", "ok", "upload-413"]);
/// The server answers first: what nobody was seen to answer may be a stream of logs.
pub(crate) const CUT_UPLOAD: Kind =
    fails("upload cut", &["awaiting_response", "early_close"], &["ok", "upload-cut", "upload-cut"]);
pub(crate) const REFUSED: Kind = fails("refused", &["refused"], &["ok"]);
pub(crate) const UNREACHABLE: Kind =
    Kind { patience: 2_500, ..fails("SYN unanswered", &["unreachable"], &["ok"]) };
pub(crate) const NO_ROUTE: Kind = fails("no route", &["unreachable"], &["ok"]);
pub(crate) const OVERFLOW: Kind = broken("queue overflow", &["backlog_overflow"], Break::Crowd);
pub(crate) const NEVER_READ: Kind = broken("hung, then killed", &["never_read"], Break::StopAndKill);
pub(crate) const DESTROYED: Kind =
    Kind { actions: &["ok", "hang"], ..broken("socket destroyed", &["killed"], Break::Destroy) };
pub(crate) const LOST: Kind = broken("connection lost", &["connection_lost"], Break::Silence);
pub(crate) const FORGOTTEN: Kind =
    broken("connection forgotten", &["reset_on_reuse", "stale_connection"], Break::FailOver);

impl Kind {
    /// How often each walker asks, if it would be `rounds` times.
    pub(crate) fn rounds(&self, rounds: u32) -> u32 {
        if self.breaks == Break::Nothing { rounds } else { 2 }
    }
}
