//! A segment that the protocol does not allow.

use anyhow::Result;

use crate::oracle::expectation::{BY_CLIENT, Line, SENT};
use crate::scenarios::base::ROW;
use crate::scenarios::scenario::Scenario;
use crate::testbed::network::Network;
use crate::testbed::raw::Raw;
use crate::traffic::connection::Connection;

/// Nobody's: the client chose another initial sequence number, but for one of 4 billion.
const NEVER_SENT: u32 = 1;

pub(crate) const ROWS: &[Scenario] = &[Scenario {
    name: "unacceptable-ack",
    says: "the answer to the client's SYN acknowledges what it never sent",
    run: unacceptable_ack,
    rsts: BY_CLIENT,
    client: Some(Line { role: "client", cause: "protocol_error", mechanism: Some("protocol"), ..SENT }),
    ..ROW
}];

fn unacceptable_ack(net: &Network) -> Result<Connection<'_>> {
    net.lose_packets_to_server()?;
    let connection = Connection::unanswered(net)?;
    let (from, to) = (connection.server_endpoint, connection.client_endpoint);
    Raw { host: &net.server, from, to, sequence: 1 }.syn_ack(NEVER_SENT)?;
    net.client.has_sent_resets(1)?;
    Ok(connection)
}
