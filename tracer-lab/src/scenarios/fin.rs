//! A FIN ends an exchange: no RST is on the wire, and a request is lost all the same.

use std::time::Duration;

use anyhow::Result;

use crate::oracle::expectation::{BY_SERVER, FIN_RECEIVED, FIN_SENT, Idle, Line, RECEIVED, SENT};
use crate::scenarios::base::{ROW, idle_connection};
use crate::scenarios::scenario::Scenario;
use crate::testbed::diag::State::{CloseWait, FinWait1, FinWait2, TimeWaitForFin};
use crate::testbed::network::Network;
use crate::testbed::wait::let_pass;
use crate::traffic::connection::Connection;

/// How long a client waits for a response before it gives up.
const PATIENCE: Duration = Duration::from_millis(300);

const TAKEN: Line =
    Line { cause: "awaiting_response", request_read: Some("yes"), idle: Idle::Demanded, ..FIN_SENT };
const TAKEN_AT_CLIENT: Line = Line { direction: FIN_RECEIVED.direction, role: FIN_RECEIVED.role, ..TAKEN };
/// The server reads what crosses its FIN and throws it away, as Apache does.
const LINGERING: Line = Line { cause: "keepalive_race", idle: Idle::Demanded, ..FIN_SENT };
const LINGERING_AT_CLIENT: Line =
    Line { direction: FIN_RECEIVED.direction, role: FIN_RECEIVED.role, ..LINGERING };
const GAVE_UP: Line = Line { role: "client", cause: "client_abort", idle: Idle::Demanded, ..FIN_SENT };
const GAVE_UP_AT_SERVER: Line = Line { direction: FIN_RECEIVED.direction, role: "server", ..GAVE_UP };

pub(crate) const ROWS: &[Scenario] = &[
    Scenario {
        name: "fin-request-taken",
        says: "the server takes the next request and closes without a response",
        run: close_with_request_taken,
        server: Some(TAKEN),
        client: Some(TAKEN_AT_CLIENT),
        ..ROW
    },
    Scenario {
        name: "fin-worker-killed",
        says: "the server's process is killed with the next request taken",
        run: kill_with_request_taken,
        server: Some(TAKEN),
        client: Some(TAKEN_AT_CLIENT),
        ..ROW
    },
    Scenario {
        name: "lingering-close-in-flight",
        says: "the server shuts down, and reads and throws away the next request, which was sent before the FIN came",
        run: lingering_close_in_flight,
        server: Some(Line { race: Some("fin_in_flight"), ..LINGERING }),
        client: Some(Line { race: Some("fin_in_flight"), ..LINGERING_AT_CLIENT }),
        ..ROW
    },
    Scenario {
        name: "lingering-close-unprocessed",
        says: "as lingering-close-in-flight, and the client's kernel had the FIN",
        run: lingering_close_unprocessed,
        server: Some(Line { race: Some("fin_unprocessed"), ..LINGERING }),
        client: Some(Line { race: Some("fin_unprocessed"), ..LINGERING_AT_CLIENT }),
        ..ROW
    },
    Scenario {
        name: "client-gives-up",
        says: "the client waits 300 ms for a response and closes, and the server closes without one",
        run: client_gives_up,
        server: Some(Line { request_read: Some("yes"), ..GAVE_UP_AT_SERVER }),
        client: Some(Line { request_read: Some("yes"), ..GAVE_UP }),
        ..ROW
    },
    Scenario {
        name: "client-gives-up-then-reset",
        says: "as client-gives-up, but the server resets by SO_LINGER 0, and the client's kernel has the whole socket",
        run: client_gives_up_and_is_reset,
        rsts: BY_SERVER,
        server: Some(Line {
            cause: "client_abort",
            mechanism: Some("linger"),
            request_read: Some("yes"),
            ..SENT
        }),
        client: Some(Line {
            cause: "client_abort",
            request_read: Some("yes"),
            errno: None,
            state: Some("FIN_WAIT2"),
            ..RECEIVED
        }),
        ..ROW
    },
    Scenario {
        name: "client-gives-up-then-forgotten",
        says: "as client-gives-up-then-reset, and the client's kernel has a time-wait socket only",
        run: client_gives_up_and_time_wait_is_reset,
        rsts: BY_SERVER,
        server: Some(Line {
            cause: "client_abort",
            mechanism: Some("linger"),
            request_read: Some("yes"),
            ..SENT
        }),
        client: Some(Line { request_read: Some("yes"), ..GAVE_UP }),
        ..ROW
    },
    Scenario {
        name: "half-close-answered",
        says: "the client shuts down its sending side behind a request, and gets its response",
        run: half_close_answered,
        ..ROW
    },
    Scenario {
        name: "half-close-dropped",
        says: "as half-close-answered, but the server takes it for a disconnect and closes",
        run: half_close_dropped,
        server: Some(TAKEN),
        client: Some(TAKEN_AT_CLIENT),
        ..ROW
    },
    Scenario {
        name: "half-close-reset",
        says: "as half-close-dropped, by SO_LINGER 0",
        run: half_close_reset,
        rsts: BY_SERVER,
        server: Some(Line { ended_by: "rst", mechanism: Some("linger"), ..TAKEN }),
        client: Some(Line { errno: Some("ECONNRESET"), ended_by: "rst", ..TAKEN_AT_CLIENT }),
        ..ROW
    },
];

fn close_with_request_taken(net: &Network) -> Result<Connection<'_>> {
    let mut connection = request_taken(net)?;
    connection.server_closes();
    connection.client_reads_the_end()?;
    connection.client_closes();
    Ok(connection)
}

fn kill_with_request_taken(net: &Network) -> Result<Connection<'_>> {
    let mut connection = request_taken(net)?;
    connection.server_process_is_killed()?;
    connection.client_reads_the_end()?;
    connection.client_closes();
    Ok(connection)
}

fn lingering_close_in_flight(net: &Network) -> Result<Connection<'_>> {
    let connection = idle_connection(net)?;
    net.hold_packets_to_client()?;
    connection.server_shuts_down_writing()?;
    connection.server_reaches(FinWait1)?;
    connection.client_requests()?;
    connection.server_reads_the_request()?;
    net.release_packets_to_client()?;
    both_close(connection)
}

fn lingering_close_unprocessed(net: &Network) -> Result<Connection<'_>> {
    let connection = idle_connection(net)?;
    connection.server_shuts_down_writing()?;
    connection.client_reaches(CloseWait)?;
    connection.server_reaches(FinWait2)?;
    connection.client_requests()?;
    connection.server_reads_the_request()?;
    both_close(connection)
}

/// The client reads the end and closes, then the server.
fn both_close(mut connection: Connection) -> Result<Connection> {
    connection.client_reads_the_end()?;
    connection.client_closes();
    connection.server_reads_the_end()?;
    connection.server_closes();
    Ok(connection)
}

fn client_gives_up(net: &Network) -> Result<Connection<'_>> {
    let mut connection = request_taken(net)?;
    let_pass(PATIENCE);
    connection.client_closes();
    connection.server_reads_the_end()?;
    connection.server_closes();
    Ok(connection)
}

fn client_gives_up_and_is_reset(net: &Network) -> Result<Connection<'_>> {
    // Above 60 s the kernel keeps the whole socket instead of a time-wait one.
    net.client.sysctl("net.ipv4.tcp_fin_timeout", "120")?;
    let mut connection = request_taken(net)?;
    let_pass(PATIENCE);
    connection.client_closes();
    connection.client_reaches(FinWait2)?;
    connection.server_reads_the_end()?;
    connection.server_resets()?;
    connection.client_is_gone()?;
    Ok(connection)
}

fn client_gives_up_and_time_wait_is_reset(net: &Network) -> Result<Connection<'_>> {
    let mut connection = request_taken(net)?;
    let_pass(PATIENCE);
    connection.client_closes();
    connection.client_reaches(TimeWaitForFin)?;
    connection.server_reads_the_end()?;
    connection.server_resets()?;
    connection.client_is_gone()?;
    Ok(connection)
}

fn half_close_answered(net: &Network) -> Result<Connection<'_>> {
    let mut connection = half_closed(net)?;
    connection.server_responds()?;
    connection.server_closes();
    connection.client_reads_the_response()?;
    connection.client_reads_the_end()?;
    connection.client_closes();
    Ok(connection)
}

fn half_close_dropped(net: &Network) -> Result<Connection<'_>> {
    let mut connection = half_closed(net)?;
    connection.server_closes();
    connection.client_reads_the_end()?;
    connection.client_closes();
    Ok(connection)
}

fn half_close_reset(net: &Network) -> Result<Connection<'_>> {
    let mut connection = half_closed(net)?;
    connection.server_resets()?;
    connection.client_is_gone()?;
    Ok(connection)
}

/// The server has taken the next request.
fn request_taken(net: &Network) -> Result<Connection<'_>> {
    let connection = idle_connection(net)?;
    connection.client_requests()?;
    connection.server_reads_the_request()?;
    Ok(connection)
}

/// The same, and the client has nothing more to say.
fn half_closed(net: &Network) -> Result<Connection<'_>> {
    let connection = request_taken(net)?;
    connection.client_shuts_down_writing()?;
    connection.server_reads_the_end()?;
    Ok(connection)
}
