//! A request is so long that the server ends the connection in the middle of it.

use std::time::Duration;

use anyhow::Result;

use crate::oracle::expectation::{BY_SERVER, Line, RECEIVED, SENT};
use crate::scenarios::base::{ROW, idle_connection};
use crate::scenarios::scenario::Scenario;
use crate::testbed::network::Network;
use crate::testbed::wait::let_pass;
use crate::traffic::connection::Connection;

/// The pace of an upload of which the server has read most.
const STEADY: Duration = Duration::from_millis(20);
/// Pieces of it that the server reads.
const PIECES: u32 = 20;
/// How long a view thinks before it answers.
const THINKS: Duration = Duration::from_millis(300);
/// From the early response to the close, but for very slow uploads.
const SOON: Duration = Duration::from_millis(20);

const EARLY: Line =
    Line { cause: "early_close", mechanism: Some("unread_close"), request_read: Some("partly"), ..SENT };
const EARLY_AT_CLIENT: Line = Line { cause: "early_close", request_read: Some("partly"), ..RECEIVED };
const CUT: Line = Line { cause: "awaiting_response", ..EARLY };
const CUT_AT_CLIENT: Line = Line { cause: "awaiting_response", ..EARLY_AT_CLIENT };

/// An upload that is answered early and goes on.
const ANSWERED: Scenario =
    Scenario { rsts: BY_SERVER, server: Some(EARLY), client: Some(EARLY_AT_CLIENT), ..ROW };

pub(crate) const ROWS: &[Scenario] = &[
    Scenario {
        name: "early-response",
        says: "the server answers a long upload after its head and closes, and the client is still sending",
        run: answer_and_close_during_upload,
        ..ANSWERED
    },
    Scenario {
        name: "early-response-unread-body",
        says: "the server answers a request without its body, which has arrived, and closes",
        run: answer_and_close_with_unread_body,
        ..ANSWERED
    },
    Scenario {
        name: "early-response-pace-0.5ms",
        says: "the server answers a slow upload after its head, and closes while it goes on, each 0.5 ms",
        run: |net| answer_and_close_during_slow_upload(net, Duration::from_micros(500)),
        ..ANSWERED
    },
    Scenario {
        name: "early-response-pace-2ms",
        says: "the same, each 2 ms",
        run: |net| answer_and_close_during_slow_upload(net, Duration::from_millis(2)),
        ..ANSWERED
    },
    Scenario {
        name: "early-response-pace-10ms",
        says: "the same, each 10 ms",
        run: |net| answer_and_close_during_slow_upload(net, Duration::from_millis(10)),
        ..ANSWERED
    },
    Scenario {
        name: "early-response-pace-50ms",
        says: "the same, each 50 ms",
        run: |net| answer_and_close_during_slow_upload(net, Duration::from_millis(50)),
        ..ANSWERED
    },
    Scenario {
        name: "early-response-pace-200ms",
        says: "the same, each 200 ms",
        run: |net| answer_and_close_during_slow_upload(net, Duration::from_millis(200)),
        ..ANSWERED
    },
    Scenario {
        name: "upload-cut",
        says: "on a connection that has served, the server reads most of a long upload and closes without a response",
        run: cut_while_reading,
        rsts: BY_SERVER,
        server: Some(CUT),
        client: Some(CUT_AT_CLIENT),
        ..ROW
    },
    Scenario {
        name: "upload-cut-stalled",
        says: "as upload-cut, with all buffers full of what the server does not read",
        run: cut_while_stalled,
        rsts: BY_SERVER,
        server: Some(CUT),
        client: Some(CUT_AT_CLIENT),
        ..ROW
    },
];

fn answer_and_close_during_upload(net: &Network) -> Result<Connection<'_>> {
    let connection = Connection::open(net)?;
    connection.client_uploads()?;
    connection.server_reads_the_request()?;
    answer_and_close(connection)
}

fn answer_and_close_with_unread_body(net: &Network) -> Result<Connection<'_>> {
    let connection = Connection::open(net)?;
    connection.client_requests()?;
    connection.client_goes_on(1, Duration::ZERO)?;
    connection.server_reads_the_request()?;
    let_pass(THINKS);
    answer_and_close(connection)
}

fn answer_and_close_during_slow_upload(net: &Network, pace: Duration) -> Result<Connection<'_>> {
    let connection = Connection::open(net)?;
    connection.client_requests()?;
    connection.server_reads_the_request()?;
    connection.server_responds()?;
    connection.client_has_the_response_unread()?;
    let pieces = SOON.as_micros().div_ceil(pace.as_micros()).max(3);
    connection.client_goes_on(u32::try_from(pieces)?, pace)?;
    close(connection)
}

fn answer_and_close(connection: Connection) -> Result<Connection> {
    connection.server_responds()?;
    connection.client_has_the_response_unread()?;
    close(connection)
}

fn cut_while_reading(net: &Network) -> Result<Connection<'_>> {
    let connection = idle_connection(net)?;
    connection.client_requests()?;
    connection.server_reads_the_request()?;
    for _ in 0..PIECES {
        connection.client_goes_on(1, STEADY)?;
        connection.server_reads_pieces(1)?;
    }
    connection.client_goes_on(1, STEADY)?;
    close(connection)
}

fn cut_while_stalled(net: &Network) -> Result<Connection<'_>> {
    let connection = idle_connection(net)?;
    connection.client_uploads()?;
    connection.server_reads_the_request()?;
    close(connection)
}

fn close(mut connection: Connection) -> Result<Connection> {
    connection.server_closes();
    connection.client_is_gone()?;
    Ok(connection)
}
