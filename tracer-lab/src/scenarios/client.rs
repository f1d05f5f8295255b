//! The client resets.

use anyhow::Result;

use crate::oracle::expectation::{BY_CLIENT, Line, RECEIVED, SENT};
use crate::scenarios::base::{ROW, idle_connection};
use crate::scenarios::scenario::Scenario;
use crate::testbed::diag::State::TimeWaitForFin;
use crate::testbed::network::Network;
use crate::traffic::connection::Connection;

/// The server's view.
const SERVER: Line = Line { role: "server", ..RECEIVED };
/// The client's view.
const CLIENT: Line = Line { role: "client", ..SENT };

pub(crate) const ROWS: &[Scenario] = &[
    Scenario {
        name: "response-unread",
        says: "the client closes with the response unread",
        run: close_with_unread_response,
        rsts: BY_CLIENT,
        server: Some(Line { cause: "client_abort", ..SERVER }),
        client: Some(Line { cause: "client_abort", mechanism: Some("unread_close"), ..CLIENT }),
        ..ROW
    },
    Scenario {
        name: "response-after-close",
        says: "the client closes without waiting for the response, which comes all the same",
        run: close_before_the_response,
        rsts: BY_CLIENT,
        server: Some(Line { cause: "client_abort", errno: Some("EPIPE"), ..SERVER }),
        client: Some(Line {
            cause: "client_abort",
            mechanism: Some("time_wait"),
            matched: "closed",
            ..CLIENT
        }),
        ..ROW
    },
    Scenario {
        name: "connect-and-reset",
        says: "a health check connects and resets by SO_LINGER 0, without a byte",
        run: health_check,
        rsts: BY_CLIENT,
        server: Some(Line { cause: "no_request", ..SERVER }),
        client: Some(Line { cause: "no_request", mechanism: Some("linger"), ..CLIENT }),
        ..ROW
    },
];

fn close_with_unread_response(net: &Network) -> Result<Connection<'_>> {
    let mut connection = idle_connection(net)?;
    connection.client_requests()?;
    connection.server_reads_the_request()?;
    connection.server_responds()?;
    connection.client_has_the_response_unread()?;
    connection.client_closes();
    connection.server_is_gone()?;
    Ok(connection)
}

fn close_before_the_response(net: &Network) -> Result<Connection<'_>> {
    let mut connection = idle_connection(net)?;
    connection.client_requests()?;
    connection.client_closes();
    connection.client_reaches(TimeWaitForFin)?;
    connection.server_reads_the_request()?;
    connection.server_responds()?;
    connection.server_is_gone()?;
    Ok(connection)
}

fn health_check(net: &Network) -> Result<Connection<'_>> {
    let mut connection = Connection::open(net)?;
    connection.client_resets()?;
    connection.server_is_gone()?;
    Ok(connection)
}
