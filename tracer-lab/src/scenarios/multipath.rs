//! The client offers MPTCP to a server that speaks TCP only.

use anyhow::Result;

use crate::oracle::expectation::{BY_CLIENT, BY_SERVER, Line, RECEIVED, SENT};
use crate::scenarios::base::{CLIENT_RACE, IDLE, ROW, SERVER_RACE};
use crate::scenarios::scenario::Scenario;
use crate::testbed::network::Network;
use crate::testbed::raw::Raw;
use crate::testbed::wait::let_pass;
use crate::traffic::connection::Connection;

pub(crate) const ROWS: &[Scenario] = &[
    Scenario {
        name: "mptcp-unread-close",
        says: "as unread-close-unacked, with a client that has offered MPTCP",
        run: close_with_unread_request,
        rsts: BY_SERVER,
        server: Some(Line { race: Some("fin_not_sent"), mechanism: Some("unread_close"), ..SERVER_RACE }),
        client: Some(Line { race: Some("fin_not_sent"), ..CLIENT_RACE }),
        ..ROW
    },
    Scenario {
        name: "mptcp-connect-and-reset",
        says: "as connect-and-reset, with a client that has offered MPTCP",
        run: health_check,
        rsts: BY_CLIENT,
        server: Some(Line { role: "server", cause: "no_request", ..RECEIVED }),
        // MPTCP disconnects the TCP socket that it keeps to itself.
        client: Some(Line { role: "client", cause: "no_request", mechanism: Some("disconnect"), ..SENT }),
        ..ROW
    },
    Scenario {
        name: "mptcp-bad-token",
        says: "a SYN asks to join an MPTCP connection that the server does not have",
        run: join_nothing,
        rsts: BY_SERVER,
        // The lab sent the SYN past the client's kernel.
        silent_rsts: BY_SERVER,
        server: Some(Line {
            cause: "backlog_overflow",
            mechanism: Some("listener"),
            matched: "none",
            ..SENT
        }),
        ..ROW
    },
];

fn close_with_unread_request(net: &Network) -> Result<Connection<'_>> {
    let mut connection = Connection::open_multipath(net)?;
    connection.exchange()?;
    let_pass(IDLE);
    connection.client_requests()?;
    connection.server_has_the_request_unread()?;
    connection.server_closes();
    connection.client_is_gone()?;
    Ok(connection)
}

fn join_nothing(net: &Network) -> Result<Connection<'_>> {
    let connection = Connection::none_multipath(net)?;
    let (from, to) = (connection.client_endpoint, connection.server_endpoint);
    Raw { host: &net.client, from, to, sequence: 1 }.mptcp_join()?;
    net.server.has_sent_resets(1)?;
    Ok(connection)
}

fn health_check(net: &Network) -> Result<Connection<'_>> {
    let mut connection = Connection::open_multipath(net)?;
    connection.client_resets()?;
    connection.server_is_gone()?;
    Ok(connection)
}
