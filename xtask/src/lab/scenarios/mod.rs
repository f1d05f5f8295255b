//! The scenarios: the steps of each, and beside them what must be seen of it.

mod client;
mod farewell;
mod multipath;
mod quiet;
mod race;
mod server;
mod stale;

use std::time::Duration;

use anyhow::Result;

use super::connection::Connection;
use super::net::Net;
use super::scenario::{Idle, Line, QUIET, RECEIVED, SENT, Scenario};
use super::wait::let_pass;

/// Every scenario, in the order in which they are printed.
pub(super) fn all() -> impl Iterator<Item = &'static Scenario> {
    [race::ROWS, farewell::ROWS, server::ROWS, stale::ROWS, client::ROWS, multipath::ROWS, quiet::ROWS]
        .into_iter()
        .flatten()
}

/// The base of every row: nothing is reset and nothing is said.
const ROW: Scenario = Scenario {
    name: "",
    says: "",
    play: idle_connection,
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
pub(super) const IDLE: Duration = Duration::from_millis(400);
/// Longer than any race window, so that nobody can take what follows for a race.
const NO_RACE: Duration = Duration::from_millis(150);

/// A connection that has served a request and idled.
pub(super) fn idle_connection(net: &Net) -> Result<Connection<'_>> {
    let connection = Connection::open(net)?;
    connection.exchange()?;
    let_pass(IDLE);
    Ok(connection)
}
