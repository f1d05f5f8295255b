//! A segment arrives where its connection, or its port, is not known.

use anyhow::Result;

use crate::oracle::expectation::{BY_SERVER, Line, RECEIVED, SENT};
use crate::scenarios::base::{CLIENT_RACE, ROW, idle_connection};
use crate::scenarios::scenario::Scenario;
use crate::testbed::network::Network;
use crate::traffic::connection::Connection;

const STALE: Line = Line { cause: "stale_connection", matched: "none", ..SENT };

/// The client's view: nothing shows it who forgot the connection.
const REUSED: Line = Line { cause: "reset_on_reuse", request_read: None, ..CLIENT_RACE };

pub(crate) const ROWS: &[Scenario] = &[
    Scenario {
        name: "syn-to-closed-port",
        says: "a client connects to a closed port",
        run: closed_port,
        rsts: BY_SERVER,
        server: Some(Line { cause: "refused", mechanism: Some("no_socket"), matched: "none", ..SENT }),
        client: Some(Line { cause: "refused", errno: Some("ECONNREFUSED"), ..RECEIVED }),
        ..ROW
    },
    Scenario {
        name: "failover-to-listener",
        says: "the server's address moves to a host that serves the port but does not know the connection",
        run: failover_to_a_listener,
        rsts: BY_SERVER,
        standby: Some(Line { mechanism: Some("listener"), ..STALE }),
        client: Some(REUSED),
        ..ROW
    },
    Scenario {
        name: "failover-same-tuple",
        says: "as failover-to-listener, and in another namespace the same endpoints had a connection that was closed a \
            moment ago",
        run: failover_with_same_tuple,
        rsts: BY_SERVER,
        standby: Some(Line { mechanism: Some("listener"), ..STALE }),
        client: Some(REUSED),
        ..ROW
    },
    Scenario {
        name: "failover-to-nobody",
        says: "the server's address moves to a host that does not serve the port",
        run: failover_to_nobody,
        rsts: BY_SERVER,
        standby: Some(Line { role: "unknown", mechanism: Some("no_socket"), ..STALE }),
        client: Some(REUSED),
        ..ROW
    },
];

fn closed_port(net: &Network) -> Result<Connection<'_>> {
    Connection::failed(net)
}

fn failover_to_a_listener(net: &Network) -> Result<Connection<'_>> {
    let mut connection = idle_connection(net)?;
    connection.standby_listens()?;
    failover(net, connection)
}

fn failover_with_same_tuple(net: &Network) -> Result<Connection<'_>> {
    let mut connection = idle_connection(net)?;
    connection.standby_listens()?;
    let elsewhere = Network::build_for_port(net.family, net.port)?;
    let mut other = Connection::open_from(&elsewhere, connection.client_endpoint)?;
    other.exchange()?;
    other.server_closes();
    other.client_reads_the_end()?;
    other.client_closes();
    failover(net, connection)
}

fn failover_to_nobody(net: &Network) -> Result<Connection<'_>> {
    let connection = idle_connection(net)?;
    failover(net, connection)
}

fn failover<'net>(net: &Network, mut connection: Connection<'net>) -> Result<Connection<'net>> {
    net.fail_over()?;
    connection.client_requests()?;
    connection.client_is_gone()?;
    Ok(connection)
}
