//! Nobody reads the request, or nobody reads the response.

use std::time::Duration;

use anyhow::Result;

use crate::oracle::expectation::{BY_CLIENT, BY_SERVER, Line, RECEIVED, SENT};
use crate::scenarios::base::{CLIENT_RACE, ROW, SERVER_RACE, idle_connection};
use crate::scenarios::scenario::Scenario;
use crate::testbed::network::Network;
use crate::testbed::wait::let_pass;
use crate::traffic::connection::Connection;

/// How long a watchdog waits for a process that hangs.
const HUNG: Duration = Duration::from_secs(3);
/// How a server greets that speaks first.
const BANNER: [u8; 78] = [b'.'; 78];

pub(crate) const ROWS: &[Scenario] = &[
    Scenario {
        name: "hung-then-killed",
        says: "the next request lies unread for 3 s, then the server's process is killed",
        run: hung_then_killed,
        rsts: BY_SERVER,
        server: Some(Line { cause: "never_read", mechanism: Some("unread_close"), ..SERVER_RACE }),
        client: Some(Line { cause: "never_read", ..CLIENT_RACE }),
        ..ROW
    },
    Scenario {
        name: "response-cut",
        says: "the server responds and resets by SO_LINGER 0 before the response has arrived",
        run: response_cut,
        rsts: BY_SERVER,
        server: Some(Line {
            cause: "response_cut",
            mechanism: Some("linger"),
            request_read: Some("yes"),
            ..SENT
        }),
        client: Some(Line { cause: "response_cut", request_read: Some("yes"), ..RECEIVED }),
        ..ROW
    },
    Scenario {
        name: "banner-check-reset",
        says: "the server speaks first, and a health check resets by SO_LINGER 0",
        run: banner_then_reset,
        rsts: BY_CLIENT,
        server: Some(Line { role: "server", cause: "no_request", ..RECEIVED }),
        client: Some(Line { role: "client", cause: "no_request", mechanism: Some("linger"), ..SENT }),
        ..ROW
    },
    Scenario {
        name: "banner-check-close",
        says: "the server speaks first, and a health check closes with that unread",
        run: banner_then_close,
        rsts: BY_CLIENT,
        server: Some(Line { role: "server", cause: "no_request", ..RECEIVED }),
        client: Some(Line { role: "client", cause: "no_request", mechanism: Some("unread_close"), ..SENT }),
        ..ROW
    },
];

fn hung_then_killed(net: &Network) -> Result<Connection<'_>> {
    let mut connection = idle_connection(net)?;
    connection.server_acknowledges_at_once()?;
    connection.client_requests()?;
    connection.server_has_the_request_unread()?;
    let_pass(HUNG);
    connection.server_process_is_killed()?;
    connection.client_is_gone()?;
    Ok(connection)
}

fn response_cut(net: &Network) -> Result<Connection<'_>> {
    let mut connection = idle_connection(net)?;
    connection.client_requests()?;
    connection.server_reads_the_request()?;
    net.hold_packets_to_client()?;
    connection.server_responds()?;
    connection.server_resets()?;
    connection.server_is_gone()?;
    // The client's acknowledgement of the response would be reset as well.
    net.lose_packets_to_server()?;
    net.release_packets_to_client()?;
    connection.client_is_gone()?;
    Ok(connection)
}

fn banner_then_reset(net: &Network) -> Result<Connection<'_>> {
    let mut connection = greeted(net)?;
    connection.client_resets()?;
    connection.server_is_gone()?;
    Ok(connection)
}

fn banner_then_close(net: &Network) -> Result<Connection<'_>> {
    let mut connection = greeted(net)?;
    connection.client_closes();
    connection.server_is_gone()?;
    Ok(connection)
}

/// The server's greeting lies unread at the client.
fn greeted(net: &Network) -> Result<Connection<'_>> {
    let connection = Connection::open(net)?;
    connection.server_says(&BANNER)?;
    connection.client_has_unread(BANNER.len())?;
    Ok(connection)
}
