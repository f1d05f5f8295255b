//! A last word before a FIN, or behind the other side's: a TLS `close_notify` or alert, a QUIT, a GOAWAY.

use std::time::Duration;

use anyhow::Result;

use crate::oracle::difference::tolerance;
use crate::oracle::evidence::CLOSE_NOTIFY_BYTES;
use crate::oracle::expectation::{BY_SERVER, Line, RECEIVED, SENT};
use crate::scenarios::base::{CLIENT_RACE, IDLE, ROW, SERVER_RACE, idle_connection};
use crate::scenarios::scenario::Scenario;
use crate::testbed::diag::State::{CloseWait, FinWait1, TimeWaitForFin};
use crate::testbed::network::Network;
use crate::testbed::wait::{let_pass, together};
use crate::traffic::connection::Connection;

const NOTIFY: [u8; CLOSE_NOTIFY_BYTES as usize] = [21; CLOSE_NOTIFY_BYTES as usize];
/// Twice that, to the tracer, is not together.
const TOGETHER: Duration = Duration::from_millis(10);
/// Longer than a rest, shorter than a client's patience.
const HELD_UP: Duration = Duration::from_millis(200);
/// Too long for a last word.
const REQUEST: [u8; 150] = [23; 150];

/// Nobody can tell an alert from a request that is as short: it is unknown what was lost.
const ALERT: Scenario = Scenario {
    rsts: BY_SERVER,
    server: Some(Line { mechanism: Some("time_wait"), matched: "closed", ..SENT }),
    client: Some(Line { errno: Some("EPIPE"), ..RECEIVED }),
    ..ROW
};

pub(crate) const ROWS: &[Scenario] = &[
    Scenario {
        name: "close-notify-answered",
        says: "the server sends a last word and closes, and the client answers it",
        run: close_notify_answered,
        rsts: BY_SERVER,
        server: Some(Line { mechanism: Some("time_wait"), matched: "closed", ..SENT }),
        client: Some(Line { errno: Some("EPIPE"), ..RECEIVED }),
        ..ROW
    },
    Scenario {
        name: "close-notify-race",
        says: "the server sends a last word and closes, and the client sends the next request all the same",
        run: close_notify_overlooked,
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
        name: "alert-24-to-closed",
        says: "the server closes an idle TLS connection by a FIN alone, and the client answers with an alert of 24 bytes",
        run: |net| alert_to_closed(net, 24),
        ..ALERT
    },
    Scenario {
        name: "alert-31-to-closed",
        says: "as alert-24-to-closed, with 31 bytes",
        run: |net| alert_to_closed(net, 31),
        ..ALERT
    },
    Scenario {
        name: "terminate-and-close",
        says: "the client says Terminate, 5 bytes, and closes",
        run: |net| last_word_and_close(net, 5),
        ..ROW
    },
    Scenario {
        name: "quit-and-close",
        says: "the client says QUIT, 6 bytes, and closes",
        run: |net| last_word_and_close(net, 6),
        ..ROW
    },
    Scenario {
        name: "quit-and-late-close",
        says: "the client says QUIT, and something keeps it from closing for 200 ms",
        run: quit_and_late_close,
        ..ROW
    },
    Scenario {
        name: "goaway-and-close",
        says: "the client says GOAWAY, 17 bytes, and closes",
        run: |net| last_word_and_close(net, 17),
        ..ROW
    },
    Scenario {
        name: "close-notify-and-close",
        says: "the client says close_notify, 31 bytes, and closes",
        run: |net| last_word_and_close(net, 31),
        ..ROW
    },
];

fn last_word_and_close(net: &Network, bytes: usize) -> Result<Connection<'_>> {
    let mut connection = idle_connection(net)?;
    let word = vec![21; bytes];
    connection.client_says(&word)?;
    connection.client_closes();
    connection.server_reads(&word)?;
    connection.server_reads_the_end()?;
    connection.server_closes();
    Ok(connection)
}

fn quit_and_late_close(net: &Network) -> Result<Connection<'_>> {
    let mut connection = idle_connection(net)?;
    let word = [21; 6];
    connection.client_says(&word)?;
    connection.server_reads(&word)?;
    let_pass(HELD_UP);
    connection.client_closes();
    connection.server_reads_the_end()?;
    connection.server_closes();
    Ok(connection)
}

fn alert_to_closed(net: &Network, bytes: usize) -> Result<Connection<'_>> {
    let mut connection = idle_connection(net)?;
    connection.server_closes();
    connection.client_reads_the_end()?;
    connection.server_reaches(TimeWaitForFin)?;
    connection.client_says(&vec![21; bytes])?;
    connection.client_is_gone()?;
    Ok(connection)
}

fn close_notify_answered(net: &Network) -> Result<Connection<'_>> {
    let mut connection = close_notify(net)?;
    connection.client_says(&NOTIFY)?;
    connection.client_is_gone()?;
    Ok(connection)
}

fn close_notify_overlooked(net: &Network) -> Result<Connection<'_>> {
    let mut connection = close_notify(net)?;
    connection.client_says(&REQUEST)?;
    connection.client_is_gone()?;
    Ok(connection)
}

/// Last word and FIN leave together, and arrive together: no acknowledgement comes between.
fn close_notify(net: &Network) -> Result<Connection<'_>> {
    let mut connection = Connection::open(net)?;
    // A last word hides when the response was sent: the tracer then goes by the request.
    together("a request and its response", tolerance(), || connection.exchange())?;
    let_pass(IDLE);
    net.hold_packets_to_client()?;
    together("a last word and its FIN", TOGETHER, || {
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
