//! A connection dies of silence, or never comes to be.

use std::time::Duration;

use anyhow::Result;

use crate::oracle::expectation::{LOST, Line, UNREACHABLE};
use crate::scenarios::base::{ROW, idle_connection};
use crate::scenarios::scenario::Scenario;
use crate::testbed::network::Network;
use crate::traffic::connection::Connection;

pub(crate) const ROWS: &[Scenario] = &[
    Scenario {
        name: "user-timeout",
        says: "the server's user timeout gives up on a response that is not acknowledged",
        run: user_timeout,
        server: Some(LOST),
        ..ROW
    },
    Scenario {
        name: "retransmissions-of-server",
        says: "the server's kernel has sent a response as often as it may, and nobody acknowledges it",
        run: response_unacknowledged,
        server: Some(LOST),
        ..ROW
    },
    Scenario {
        name: "retransmissions-of-client",
        says: "the client's kernel has sent a request as often as it may, and nobody acknowledges it",
        run: request_unacknowledged,
        client: Some(Line { role: "client", ..LOST }),
        ..ROW
    },
    Scenario {
        name: "syn-unanswered",
        says: "SYNs are lost until the client's kernel gives up",
        run: syn_unanswered,
        client: Some(Line { errno: Some("ETIMEDOUT"), ..UNREACHABLE }),
        ..ROW
    },
    Scenario {
        name: "syn-given-up",
        says: "SYNs are lost, and the client closes after the second",
        run: syn_given_up,
        client: Some(UNREACHABLE),
        ..ROW
    },
    Scenario {
        name: "syn-given-up-at-once",
        says: "a SYN is lost, and the client closes before another, as the loser of two parallel connects",
        run: syn_given_up_at_once,
        ..ROW
    },
    Scenario {
        name: "no-neighbour",
        says: "the server's address is on the client's own network, and nobody has it",
        run: no_neighbour,
        client: Some(Line { errno: Some("EHOSTUNREACH"), ..UNREACHABLE }),
        ..ROW
    },
];

fn user_timeout(net: &Network) -> Result<Connection<'_>> {
    let connection = idle_connection(net)?;
    connection.server_gives_up_after(Duration::from_millis(300))?;
    response_lost(net, connection)
}

fn response_unacknowledged(net: &Network) -> Result<Connection<'_>> {
    net.server.sysctl("net.ipv4.tcp_retries2", "1")?;
    response_lost(net, idle_connection(net)?)
}

fn response_lost<'net>(net: &Network, mut connection: Connection<'net>) -> Result<Connection<'net>> {
    connection.server_acknowledges_at_once()?;
    connection.client_requests()?;
    connection.server_reads_the_request()?;
    connection.client_is_acknowledged()?;
    net.hold_packets_to_client()?;
    connection.server_responds()?;
    connection.server_is_gone()?;
    Ok(connection)
}

fn request_unacknowledged(net: &Network) -> Result<Connection<'_>> {
    net.client_sends_again_soon()?;
    net.client.sysctl("net.ipv4.tcp_retries2", "1")?;
    let mut connection = idle_connection(net)?;
    net.lose_packets_to_server()?;
    connection.client_requests()?;
    connection.client_is_gone()?;
    Ok(connection)
}

fn syn_unanswered(net: &Network) -> Result<Connection<'_>> {
    net.client.sysctl("net.ipv4.tcp_syn_retries", "1")?;
    net.lose_packets_to_server()?;
    Connection::failed(net)
}

fn syn_given_up(net: &Network) -> Result<Connection<'_>> {
    net.lose_packets_to_server()?;
    let mut connection = Connection::unanswered(net)?;
    connection.client_has_sent_again()?;
    connection.client_closes();
    Ok(connection)
}

fn syn_given_up_at_once(net: &Network) -> Result<Connection<'_>> {
    net.lose_packets_to_server()?;
    let mut connection = Connection::unanswered(net)?;
    connection.client_closes();
    Ok(connection)
}

fn no_neighbour(net: &Network) -> Result<Connection<'_>> {
    net.client_finds_no_neighbour()?;
    Connection::failed(net)
}
