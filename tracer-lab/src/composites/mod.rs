//! What does not fit into one connection through one network: several connections, networks or tracers, or a whole
//! machine.

mod duplicate_tuples;
mod late;
mod loopback;
mod orphans;
mod reload;
mod reuse;
mod shutdown;
mod steps;
mod testbed;
mod timeout;

use std::env;

use anyhow::{Context as _, Result};

use crate::testbed::daemon::DaemonUnderTest;
use crate::testbed::network::Family;

/// A scenario of several parts.
pub struct Composite {
    /// A word or two.
    pub name: &'static str,
    /// One sentence.
    pub says: &'static str,
    /// It changes the whole machine, which must be the lab's own: an emulated one.
    pub(crate) alone: bool,
    run: fn(&DaemonUnderTest, Family) -> Result<()>,
}

/// Whether nobody else uses this machine, as an emulated one says of itself.
pub(crate) fn machine_is_ours() -> bool {
    env::var_os("TRACER_LAB_ALONE").is_some()
}

/// The base of every row.
const ROW: Composite = Composite { name: "", says: "", alone: false, run: late::close_unread };

/// All of them.
pub(crate) const COMPOSITES: &[Composite] = &[
    Composite {
        name: "same-tuples-one-race",
        says: "the same endpoints are connected in two namespaces: one pair races, the other goes on",
        run: duplicate_tuples::one_races,
        ..ROW
    },
    Composite {
        name: "same-tuples-both-race",
        says: "the same endpoints are connected in two namespaces, and both pairs race",
        run: duplicate_tuples::both_race,
        ..ROW
    },
    Composite {
        name: "late-start-unread-close",
        says: "as unread-close-unacked, with a tracer that was started after the exchange",
        run: late::close_unread,
        ..ROW
    },
    Composite {
        name: "late-start-race",
        says: "as race-fin-unprocessed, with a tracer that was started after the exchange",
        run: late::request_after_fin,
        ..ROW
    },
    Composite {
        name: "reused-tuple",
        says: "the endpoints of a connection that was reset are used again: closed well, then reset again",
        run: reuse::after_reset,
        ..ROW
    },
    Composite {
        name: "loopback-unread-close",
        says: "as unread-close-unacked, with both sockets on one host",
        run: loopback::close_unread,
        ..ROW
    },
    Composite {
        name: "loopback-race",
        says: "as race-fin-unprocessed, with both sockets on one host",
        run: loopback::request_after_fin,
        ..ROW
    },
    Composite {
        name: "reload",
        says: "a server closes 200 idle connections at once, and all clients follow",
        run: reload::clients_follow,
        ..ROW
    },
    Composite {
        name: "reload-race",
        says: "a server closes 200 idle connections at once, and 20 clients send their next request all the same",
        run: reload::some_clients_race,
        ..ROW
    },
    Composite {
        name: "shutdown-then-close",
        says: "a server shuts down and closes 5 idle connections before its FIN is acknowledged: 5 closes, not 10",
        run: shutdown::then_close,
        ..ROW
    },
    Composite {
        name: "late-loop",
        says: "a request lies unread for 15 ms when the server closes at its timeout, another for 100 ms before that",
        run: timeout::late_loop,
        ..ROW
    },
    Composite {
        name: "too-many-orphans",
        says: "the server closes an idle connection, and its host has no room for a socket without an application",
        alone: true,
        run: orphans::too_many,
    },
];

impl Composite {
    /// Runs it under `tracer`; an error says what was not as described.
    pub fn run(&self, tracer: &DaemonUnderTest, family: Family) -> Result<()> {
        (self.run)(tracer, family).with_context(|| format!("{} ({family:?})", self.name))
    }
}
