//! The server says a farewell before its FIN, as a TLS `close_notify`.

use std::time::Duration;

use anyhow::Result;

use crate::oracle::difference::tolerance;
use crate::oracle::evidence::FAREWELL;
use crate::oracle::expectation::{BY_SERVER, Line, RECEIVED, SENT};
use crate::scenarios::base::{CLIENT_RACE, IDLE, ROW, SERVER_RACE};
use crate::scenarios::scenario::Scenario;
use crate::testbed::diag::State::{CloseWait, FinWait1, TimeWaitForFin};
use crate::testbed::network::Network;
use crate::testbed::wait::{let_pass, together};
use crate::traffic::connection::Connection;

const NOTIFY: [u8; FAREWELL as usize] = [21; FAREWELL as usize];
/// Twice that, to the tracer, is not together.
const TOGETHER: Duration = Duration::from_millis(10);
/// Too long for anybody's farewell.
const REQUEST: [u8; 150] = [23; 150];

pub(crate) const ROWS: &[Scenario] = &[
    Scenario {
        name: "close-notify-answered",
        says: "the server says a farewell and closes, and the client answers the farewell",
        run: farewell_answered,
        rsts: BY_SERVER,
        server: Some(Line { mechanism: Some("time_wait"), matched: "closed", ..SENT }),
        client: Some(Line { errno: Some("EPIPE"), ..RECEIVED }),
        ..ROW
    },
    Scenario {
        name: "close-notify-race",
        says: "the server says a farewell and closes, and the client sends the next request all the same",
        run: farewell_overlooked,
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
];

fn farewell_answered(net: &Network) -> Result<Connection<'_>> {
    let mut connection = farewell(net)?;
    connection.client_says(&NOTIFY)?;
    connection.client_is_gone()?;
    Ok(connection)
}

fn farewell_overlooked(net: &Network) -> Result<Connection<'_>> {
    let mut connection = farewell(net)?;
    connection.client_says(&REQUEST)?;
    connection.client_is_gone()?;
    Ok(connection)
}

/// Farewell and FIN leave together, and arrive together: no acknowledgement comes between.
fn farewell(net: &Network) -> Result<Connection<'_>> {
    let mut connection = Connection::open(net)?;
    // A farewell hides when the response was sent: the tracer then goes by the request.
    together("a request and its response", tolerance(), || connection.exchange())?;
    let_pass(IDLE);
    net.hold_packets_to_client()?;
    together("a farewell and its FIN", TOGETHER, || {
        connection.server_says(&NOTIFY)?;
        connection.server_closes();
        Ok(())
    })?;
    connection.server_reaches(FinWait1)?;
    net.release_packets_to_client()?;
    connection.client_reaches(CloseWait)?;
    connection.server_reaches(TimeWaitForFin)?;
    Ok(connection)
}
