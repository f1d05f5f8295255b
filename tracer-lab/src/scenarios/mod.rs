//! The scenarios: the steps of each, and beside them what must be seen of it.

pub mod batch;
pub mod case;
mod client;
mod close_notify;
mod multipath;
pub mod outcome;
mod quiet;
mod race;
pub(crate) mod record;
pub mod scenario;
mod server;
mod stale;

use std::time::Duration;

use anyhow::Result;

use crate::oracle::expectation::{Idle, Line, QUIET, RECEIVED, SENT};
use crate::scenarios::scenario::Scenario;
use crate::testbed::network::Network;
use crate::testbed::wait::let_pass;
use crate::traffic::connection::Connection;

/// Every scenario, in the order in which they are printed.
pub(crate) fn all() -> impl Iterator<Item = &'static Scenario> {
    [race::ROWS, close_notify::ROWS, server::ROWS, stale::ROWS, client::ROWS, multipath::ROWS, quiet::ROWS]
        .into_iter()
        .flatten()
}

/// The base of every row: nothing is reset and nothing is said.
const ROW: Scenario = Scenario {
    name: "",
    says: "",
    run: idle_connection,
    rsts: QUIET,
    server: None,
    standby: None,
    client: None,
};
/// The server's view of a keep-alive race.
const SERVER_RACE: Line = Line { role: "server", cause: "keepalive_race", idle: Idle::Demanded, ..SENT };
/// The client's view of a keep-alive race.
const CLIENT_RACE: Line = Line { role: "client", cause: "keepalive_race", idle: Idle::Demanded, ..RECEIVED };

/// How long connections idle before the next thing happens: far longer than jiffies and the race window.
pub(crate) const IDLE: Duration = Duration::from_millis(400);
/// Longer than any race window, so that nobody can take what follows for a race.
const NO_RACE: Duration = Duration::from_millis(150);

/// A connection that has served a request and idled.
pub(crate) fn idle_connection(net: &Network) -> Result<Connection<'_>> {
    let connection = Connection::open(net)?;
    connection.exchange()?;
    let_pass(IDLE);
    Ok(connection)
}
