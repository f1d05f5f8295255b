//! A connection that never carried anything idles in a pool, and its first request meets the server's close.

use anyhow::Result;

use crate::oracle::expectation::{BY_SERVER, Line, Rsts};
use crate::scenarios::base::{CLIENT_RACE, IDLE, ROW, SERVER_RACE};
use crate::scenarios::scenario::Scenario;
use crate::testbed::diag::State::{CloseWait, FinWait1, TimeWaitForFin};
use crate::testbed::network::Network;
use crate::testbed::wait::let_pass;
use crate::traffic::connection::Connection;

pub(crate) const ROWS: &[Scenario] = &[
    Scenario {
        name: "pooled-race-unprocessed",
        says: "as race-fin-unprocessed, with the first request of a connection that was made in advance",
        run: fin_unprocessed,
        rsts: BY_SERVER,
        server: Some(Line {
            race: Some("fin_unprocessed"),
            mechanism: Some("time_wait"),
            matched: "closed",
            ..SERVER_RACE
        }),
        client: Some(Line { race: Some("fin_unprocessed"), errno: Some("EPIPE"), ..CLIENT_RACE }),
        ..ROW
    },
    Scenario {
        name: "pooled-race-in-flight",
        says: "as race-fin-in-flight, with the first request of a connection that was made in advance",
        run: fin_in_flight,
        rsts: Rsts { from_server: 2, from_client: 0 },
        server: Some(Line { race: Some("fin_in_flight"), mechanism: Some("orphan_data"), ..SERVER_RACE }),
        client: Some(Line { race: Some("fin_in_flight"), errno: Some("EPIPE"), ..CLIENT_RACE }),
        ..ROW
    },
    Scenario {
        name: "pooled-unread-close",
        says: "as unread-close, with the first request of a connection that was made in advance",
        run: close_with_unread_request,
        rsts: BY_SERVER,
        server: Some(Line { race: Some("fin_not_sent"), mechanism: Some("unread_close"), ..SERVER_RACE }),
        client: Some(Line { race: Some("fin_not_sent"), ..CLIENT_RACE }),
        ..ROW
    },
];

fn fin_unprocessed(net: &Network) -> Result<Connection<'_>> {
    let mut connection = pooled_connection(net)?;
    connection.server_closes();
    connection.server_reaches(TimeWaitForFin)?;
    connection.client_requests()?;
    connection.client_is_gone()?;
    Ok(connection)
}

fn fin_in_flight(net: &Network) -> Result<Connection<'_>> {
    let mut connection = pooled_connection(net)?;
    net.hold_packets_to_client()?;
    connection.server_closes();
    connection.server_reaches(FinWait1)?;
    connection.client_requests()?;
    connection.server_is_gone()?;
    net.release_fin_to_client()?;
    connection.client_reaches(CloseWait)?;
    net.server.has_sent_resets(2)?;
    net.release_packets_to_client()?;
    connection.client_is_gone()?;
    Ok(connection)
}

fn close_with_unread_request(net: &Network) -> Result<Connection<'_>> {
    let mut connection = pooled_connection(net)?;
    connection.client_requests()?;
    connection.server_has_the_request_unread()?;
    connection.server_closes();
    connection.client_is_gone()?;
    Ok(connection)
}

fn pooled_connection(net: &Network) -> Result<Connection<'_>> {
    let connection = Connection::open(net)?;
    let_pass(IDLE);
    Ok(connection)
}
