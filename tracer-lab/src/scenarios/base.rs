//! What scenarios begin with.

use std::time::Duration;

use anyhow::Result;

use crate::oracle::expectation::{Idle, Line, QUIET, RECEIVED, SENT};
use crate::scenarios::scenario::Scenario;
use crate::testbed::network::Network;
use crate::testbed::wait::let_pass;
use crate::traffic::connection::Connection;

/// The base of every row: nothing is reset and nothing is said.
pub(crate) const ROW: Scenario = Scenario {
    name: "",
    says: "",
    run: idle_connection,
    rsts: QUIET,
    silent_rsts: QUIET,
    server: None,
    standby: None,
    client: None,
};
/// The server's view of a keep-alive race.
pub(crate) const SERVER_RACE: Line =
    Line { cause: "keepalive_race", request_read: Some("never"), idle: Idle::Demanded, ..SENT };
/// The client's view of a keep-alive race.
pub(crate) const CLIENT_RACE: Line =
    Line { cause: "keepalive_race", request_read: Some("never"), idle: Idle::Demanded, ..RECEIVED };

/// How long connections idle before the next thing happens: far longer than jiffies and the race window.
pub(crate) const IDLE: Duration = Duration::from_millis(400);
/// Longer than any race window, so that nobody can take what follows for a race.
pub(crate) const NO_RACE: Duration = Duration::from_millis(150);

/// A connection that has served a request and idled.
pub(crate) fn idle_connection(net: &Network) -> Result<Connection<'_>> {
    let connection = Connection::open(net)?;
    connection.exchange()?;
    let_pass(IDLE);
    Ok(connection)
}

/// The same with a slow response, so that the client's kernel remembers in which order request and response came: a FIN
/// hides what else tells it.
pub(crate) fn idle_connection_after_slow_response(net: &Network) -> Result<Connection<'_>> {
    let connection = Connection::open(net)?;
    connection.client_requests()?;
    connection.server_reads_the_request()?;
    let_pass(NO_RACE);
    connection.server_responds()?;
    connection.client_reads_the_response()?;
    let_pass(IDLE);
    Ok(connection)
}
