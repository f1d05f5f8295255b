//! Something on the path forgets the connection, and answers the next request with a RST: neither end closed anything.

use anyhow::Result;

use crate::oracle::expectation::{BY_SERVER, Idle, Line, RECEIVED};
use crate::scenarios::base::{ROW, idle_connection};
use crate::scenarios::scenario::Scenario;
use crate::testbed::network::Network;
use crate::testbed::raw::Raw;
use crate::traffic::connection::Connection;

pub(crate) const ROWS: &[Scenario] = &[Scenario {
    name: "path-forgets",
    says: "a middlebox has forgotten the idle connection and resets the next request, as netfilter's REJECT does",
    run: path_forgets,
    rsts: BY_SERVER,
    client: Some(Line { cause: "reset_on_reuse", idle: Idle::Demanded, ..RECEIVED }),
    ..ROW
}];

fn path_forgets(net: &Network) -> Result<Connection<'_>> {
    let watch = net.watch()?;
    let mut connection = idle_connection(net)?;
    net.lose_packets_to_server()?;
    connection.client_requests()?;
    let (from, to) = (connection.server_endpoint, connection.client_endpoint);
    // The standby has the server's address, as a middlebox pretends to have.
    Raw { host: &net.standby, from, to, sequence: watch.next(from, to)? }.rst()?;
    connection.client_is_gone()?;
    Ok(connection)
}
