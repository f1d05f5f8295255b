//! Connections end without a RST: the tracer must say nothing.

use std::time::Duration;

use anyhow::Result;

use crate::scenarios::base::{ROW, idle_connection};
use crate::scenarios::scenario::Scenario;
use crate::testbed::diag::State::TimeWait;
use crate::testbed::network::Network;
use crate::testbed::raw;
use crate::testbed::wait::until;
use crate::traffic::connection::Connection;

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
        name: "payload-to-time-wait",
        says: "payload arrives at the server's time-wait socket after both sides have closed",
        run: payload_into_time_wait,
        ..ROW
    },
    Scenario {
        name: "user-timeout",
        says: "the server's user timeout gives up on a response that is not acknowledged",
        run: user_timeout,
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

fn payload_into_time_wait(net: &Network) -> Result<Connection<'_>> {
    let mut connection = idle_connection(net)?;
    connection.server_closes();
    connection.client_reads_the_end()?;
    connection.client_closes();
    connection.server_reaches(TimeWait)?;
    // The client's kernel has forgotten the connection, and would reset the answer.
    net.hold_packets_to_client()?;
    let answered = net.server.tcp_counter("OutSegs")? + 1;
    raw::send_payload(
        &net.client,
        connection.client_endpoint,
        connection.server_endpoint,
        b"a late request",
    )?;
    until("the time-wait socket to answer", || {
        Ok((net.server.tcp_counter("OutSegs")? >= answered).then_some(()))
    })?;
    Ok(connection)
}

fn user_timeout(net: &Network) -> Result<Connection<'_>> {
    let mut connection = idle_connection(net)?;
    connection.server_gives_up_after(Duration::from_millis(300))?;
    connection.server_acknowledges_at_once()?;
    connection.client_requests()?;
    connection.server_reads_the_request()?;
    connection.client_is_acknowledged()?;
    net.hold_packets_to_client()?;
    connection.server_responds()?;
    connection.server_is_gone()?;
    Ok(connection)
}
