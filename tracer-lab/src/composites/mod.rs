//! What does not fit into one connection through one network: stories of several connections, networks or tracers.

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

/// A story.
pub struct Story {
    /// A word or two.
    pub name: &'static str,
    /// One sentence.
    pub says: &'static str,
    play: fn(&DaemonUnderTest, Family) -> Result<()>,
}

/// All of them.
pub(crate) const STORIES: &[Story] = &[
    Story {
        name: "same-tuples-one-race",
        says: "the same endpoints are connected in two namespaces: one pair races, the other goes on",
        play: duplicate_tuples::one_races,
    },
    Story {
        name: "same-tuples-both-race",
        says: "the same endpoints are connected in two namespaces, and both pairs race",
        play: duplicate_tuples::both_race,
    },
    Story {
        name: "late-start-unread-close",
        says: "as unread-close-unacked, with a tracer that was started after the exchange",
        play: late::close_unread,
    },
    Story {
        name: "late-start-race",
        says: "as race-fin-unprocessed, with a tracer that was started after the exchange",
        play: late::request_after_fin,
    },
    Story {
        name: "reused-tuple",
        says: "the endpoints of a connection that was reset are used again: closed well, then reset again",
        play: reuse::after_reset,
    },
    Story {
        name: "loopback-unread-close",
        says: "as unread-close-unacked, with both sockets on one host",
        play: loopback::close_unread,
    },
    Story {
        name: "loopback-race",
        says: "as race-fin-unprocessed, with both sockets on one host",
        play: loopback::request_after_fin,
    },
    Story {
        name: "reload",
        says: "a server closes 200 idle connections at once, and all clients follow",
        play: reload::clients_follow,
    },
    Story {
        name: "reload-race",
        says: "a server closes 200 idle connections at once, and 20 clients send their next request all the same",
        play: reload::some_clients_race,
    },
];

impl Story {
    /// Plays it under `tracer`; an error says what was not as told.
    pub fn run(&self, tracer: &DaemonUnderTest, family: Family) -> Result<()> {
        (self.play)(tracer, family).with_context(|| format!("{} ({family:?})", self.name))
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
