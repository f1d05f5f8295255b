//! What does not fit into one connection through one network: composites of several connections, networks or tracers.

mod duplicate_tuples;
mod late;
mod loopback;
mod reload;
mod reuse;
mod testbed;

use anyhow::{Context as _, Result};

use crate::testbed::daemon::DaemonUnderTest;
use crate::testbed::diag::State::TimeWaitForFin;
use crate::testbed::network::Family;
use crate::traffic::connection::Connection;

/// A composite.
pub struct Composite {
    /// A word or two.
    pub name: &'static str,
    /// One sentence.
    pub says: &'static str,
    run: fn(&DaemonUnderTest, Family) -> Result<()>,
}

/// All of them.
pub(crate) const COMPOSITES: &[Composite] = &[
    Composite {
        name: "same-tuples-one-race",
        says: "the same endpoints are connected in two namespaces: one pair races, the other goes on",
        run: duplicate_tuples::one_races,
    },
    Composite {
        name: "same-tuples-both-race",
        says: "the same endpoints are connected in two namespaces, and both pairs race",
        run: duplicate_tuples::both_race,
    },
    Composite {
        name: "late-start-unread-close",
        says: "as unread-close-unacked, with a tracer that was started after the exchange",
        run: late::close_unread,
    },
    Composite {
        name: "late-start-race",
        says: "as race-fin-unprocessed, with a tracer that was started after the exchange",
        run: late::request_after_fin,
    },
    Composite {
        name: "reused-tuple",
        says: "the endpoints of a connection that was reset are used again: closed well, then reset again",
        run: reuse::after_reset,
    },
    Composite {
        name: "loopback-unread-close",
        says: "as unread-close-unacked, with both sockets on one host",
        run: loopback::close_unread,
    },
    Composite {
        name: "loopback-race",
        says: "as race-fin-unprocessed, with both sockets on one host",
        run: loopback::request_after_fin,
    },
    Composite {
        name: "reload",
        says: "a server closes 200 idle connections at once, and all clients follow",
        run: reload::clients_follow,
    },
    Composite {
        name: "reload-race",
        says: "a server closes 200 idle connections at once, and 20 clients send their next request all the same",
        run: reload::some_clients_race,
    },
];

impl Composite {
    /// Runs it under `tracer`; an error says what was not as told.
    pub fn run(&self, tracer: &DaemonUnderTest, family: Family) -> Result<()> {
        (self.run)(tracer, family).with_context(|| format!("{} ({family:?})", self.name))
    }
}

/// Scenario unread-close-unacked, from an idle connection on.
fn close_unread(connection: &mut Connection) -> Result<()> {
    connection.client_requests()?;
    connection.server_has_the_request_unread()?;
    connection.server_closes();
    connection.client_is_gone()
}

/// Scenario race-fin-unprocessed, from an idle connection on.
fn request_after_fin(connection: &mut Connection) -> Result<()> {
    connection.server_closes();
    connection.server_reaches(TimeWaitForFin)?;
    connection.client_requests()?;
    connection.client_is_gone()
}
