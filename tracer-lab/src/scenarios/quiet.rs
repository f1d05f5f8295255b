//! Connections end without a RST: the tracer must say nothing.

use std::time::Duration;

use anyhow::Result;

use crate::scenarios::base::{ROW, idle_connection};
use crate::scenarios::scenario::Scenario;
use crate::testbed::diag::State::TimeWait;
use crate::testbed::network::Network;
use crate::testbed::raw::Raw;
use crate::testbed::wait::until;
use crate::traffic::connection::Connection;

/// Of a client that ships its logs.
const MESSAGES: u32 = 20;
/// They take longer together than a request that is sent in pieces.
const PAUSE: Duration = Duration::from_millis(60);

pub(crate) const ROWS: &[Scenario] = &[
    Scenario {
        name: "client-closes",
        says: "the client closes an idle connection",
        run: client_closes_idle,
        ..ROW
    },
    Scenario {
        name: "server-closes",
        says: "the server closes an idle connection",
        run: server_closes_idle,
        ..ROW
    },
    Scenario {
        name: "logs-client-closes",
        says: "a client sends many messages to a server that never answers, and closes",
        run: logs_and_client_closes,
        ..ROW
    },
    Scenario {
        name: "logs-server-closes",
        says: "a client sends many messages to a server that never answers, and the server closes",
        run: logs_and_server_closes,
        ..ROW
    },
    Scenario {
        name: "payload-to-time-wait",
        says: "payload arrives at the server's time-wait socket after both sides have closed",
        run: payload_into_time_wait,
        ..ROW
    },
];

fn client_closes_idle(net: &Network) -> Result<Connection<'_>> {
    let mut connection = idle_connection(net)?;
    connection.client_closes();
    connection.server_reads_the_end()?;
    connection.server_closes();
    Ok(connection)
}

fn server_closes_idle(net: &Network) -> Result<Connection<'_>> {
    let mut connection = idle_connection(net)?;
    connection.server_closes();
    connection.client_reads_the_end()?;
    connection.client_closes();
    Ok(connection)
}

fn logs_and_client_closes(net: &Network) -> Result<Connection<'_>> {
    let mut connection = logs(net)?;
    connection.client_closes();
    connection.server_reads_the_end()?;
    connection.server_closes();
    Ok(connection)
}

fn logs_and_server_closes(net: &Network) -> Result<Connection<'_>> {
    let mut connection = logs(net)?;
    connection.server_closes();
    connection.client_reads_the_end()?;
    connection.client_closes();
    Ok(connection)
}

fn logs(net: &Network) -> Result<Connection<'_>> {
    let connection = Connection::open(net)?;
    connection.client_goes_on(MESSAGES, PAUSE)?;
    connection.server_reads_pieces(MESSAGES)?;
    Ok(connection)
}

fn payload_into_time_wait(net: &Network) -> Result<Connection<'_>> {
    let mut connection = idle_connection(net)?;
    connection.server_closes();
    connection.client_reads_the_end()?;
    connection.client_closes();
    connection.server_reaches(TimeWait)?;
    // The client's kernel has forgotten the connection, and would reset the answer.
    net.hold_packets_to_client()?;
    let answered = net.server.tcp_counter("OutSegs")? + 1;
    let (from, to) = (connection.client_endpoint, connection.server_endpoint);
    Raw { host: &net.client, from, to, sequence: 1 }.payload(0, b"a late request")?;
    until("the time-wait socket to answer", || {
        Ok((net.server.tcp_counter("OutSegs")? >= answered).then_some(()))
    })?;
    Ok(connection)
}
