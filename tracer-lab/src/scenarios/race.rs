//! The server closes a keep-alive connection and the next request crosses it.

use std::time::Duration;

use anyhow::Result;

use crate::oracle::expectation::{BY_SERVER, Line, Rsts};
use crate::scenarios::base::{CLIENT_RACE, IDLE, NO_RACE, ROW, SERVER_RACE, idle_connection};
use crate::scenarios::scenario::Scenario;
use crate::testbed::diag::State::{CloseWait, FinWait1, FinWait2, TimeWait, TimeWaitForFin};
use crate::testbed::network::Network;
use crate::testbed::wait::let_pass;
use crate::traffic::connection::Connection;

/// A rest that is just long enough to be idle time: behind a shorter one, nobody can tell a request from the rest of
/// one that was answered.
const BUSY: Duration = Duration::from_millis(70);
/// The client's acknowledgement of the FIN is reset as well as its request, or two segments of that.
const TWICE: Rsts = Rsts { from_server: 2, from_client: 0 };
const SERVER_FIN_IN_FLIGHT: Line =
    Line { race: Some("fin_in_flight"), mechanism: Some("orphan_data"), ..SERVER_RACE };
const SERVER_FIN_NOT_SENT: Line =
    Line { race: Some("fin_not_sent"), mechanism: Some("unread_close"), ..SERVER_RACE };
const SERVER_FIN_UNPROCESSED: Line =
    Line { race: Some("fin_unprocessed"), mechanism: Some("time_wait"), matched: "closed", ..SERVER_RACE };
const CLIENT_FIN_IN_FLIGHT: Line = Line { race: Some("fin_in_flight"), errno: Some("EPIPE"), ..CLIENT_RACE };
const CLIENT_FIN_NOT_SENT: Line = Line { race: Some("fin_not_sent"), ..CLIENT_RACE };
const CLIENT_FIN_UNPROCESSED: Line =
    Line { race: Some("fin_unprocessed"), errno: Some("EPIPE"), ..CLIENT_RACE };

pub(crate) const ROWS: &[Scenario] = &[
    Scenario {
        name: "race-fin-in-flight",
        says: "the server's FIN is on the wire when the next request leaves",
        run: fin_in_flight,
        rsts: TWICE,
        server: Some(SERVER_FIN_IN_FLIGHT),
        client: Some(CLIENT_FIN_IN_FLIGHT),
        ..ROW
    },
    Scenario {
        name: "race-fin-with-rst",
        says: "as race-fin-in-flight, and the RST arrives right behind the FIN",
        run: fin_in_flight_with_the_rst,
        rsts: BY_SERVER,
        server: Some(SERVER_FIN_IN_FLIGHT),
        client: Some(CLIENT_FIN_IN_FLIGHT),
        ..ROW
    },
    Scenario {
        name: "race-process-exit",
        says: "as race-fin-in-flight, and the server's listener closes as well, as when its process ends",
        run: fin_in_flight_of_ended_process,
        rsts: TWICE,
        server: Some(SERVER_FIN_IN_FLIGHT),
        client: Some(CLIENT_FIN_IN_FLIGHT),
        ..ROW
    },
    Scenario {
        name: "race-fin-unprocessed",
        says: "the client's kernel has the server's FIN, its application sends the next request all the same",
        run: fin_unprocessed,
        rsts: BY_SERVER,
        server: Some(SERVER_FIN_UNPROCESSED),
        client: Some(CLIENT_FIN_UNPROCESSED),
        ..ROW
    },
    Scenario {
        name: "race-long-request",
        says: "as race-fin-unprocessed, 70 ms behind the response, and the next request is long",
        run: fin_unprocessed_by_long_request,
        rsts: TWICE,
        server: Some(SERVER_FIN_UNPROCESSED),
        client: Some(CLIENT_FIN_UNPROCESSED),
        ..ROW
    },
    Scenario {
        name: "race-fin-wait2",
        says: "as race-fin-unprocessed, with a FIN timeout so long that the server's kernel keeps the whole socket",
        run: fin_unprocessed_and_long_fin_timeout,
        rsts: BY_SERVER,
        server: Some(Line { mechanism: Some("orphan_data"), matched: "socket", ..SERVER_FIN_UNPROCESSED }),
        client: Some(CLIENT_FIN_UNPROCESSED),
        ..ROW
    },
    Scenario {
        name: "race-after-shutdown",
        says: "the server shuts down its sending side, and closes with the next request unread",
        run: shutdown_then_close_with_unread_request,
        rsts: BY_SERVER,
        server: Some(Line { race: Some("fin_unprocessed"), ..SERVER_FIN_NOT_SENT }),
        client: Some(CLIENT_FIN_UNPROCESSED),
        ..ROW
    },
    Scenario {
        name: "unread-close",
        says: "the server closes with the next request unread",
        run: close_with_unread_request,
        rsts: BY_SERVER,
        server: Some(SERVER_FIN_NOT_SENT),
        client: Some(CLIENT_FIN_NOT_SENT),
        ..ROW
    },
    Scenario {
        name: "unread-close-unacked",
        says: "as unread-close, and the client does not learn that its request arrived",
        run: close_with_unacknowledged_request,
        rsts: BY_SERVER,
        server: Some(SERVER_FIN_NOT_SENT),
        client: Some(CLIENT_FIN_NOT_SENT),
        ..ROW
    },
    Scenario {
        name: "unread-close-busy",
        says: "as unread-close-unacked, with the next request 70 ms behind the response",
        run: close_with_unread_request_without_idling,
        rsts: BY_SERVER,
        server: Some(SERVER_FIN_NOT_SENT),
        client: Some(CLIENT_FIN_NOT_SENT),
        ..ROW
    },
    Scenario {
        name: "unread-close-late",
        says: "as unread-close, after so long that nobody can call it a race",
        run: close_with_long_unread_request,
        rsts: BY_SERVER,
        server: Some(Line { cause: "never_read", race: None, ..SERVER_FIN_NOT_SENT }),
        client: Some(Line { cause: "never_read", ..CLIENT_RACE }),
        ..ROW
    },
    Scenario {
        name: "unread-close-reused-port",
        says: "as unread-close-unacked, on a client port whose earlier connection is in time-wait on the server",
        run: close_with_unread_request_on_a_reused_port,
        rsts: BY_SERVER,
        server: Some(SERVER_FIN_NOT_SENT),
        client: Some(CLIENT_FIN_NOT_SENT),
        ..ROW
    },
    Scenario {
        name: "race-time-wait-expired",
        says: "as race-fin-unprocessed, after the server's time-wait socket has expired",
        run: fin_unprocessed_and_time_wait_expired,
        rsts: BY_SERVER,
        server: Some(Line { mechanism: Some("listener"), ..SERVER_FIN_UNPROCESSED }),
        client: Some(CLIENT_FIN_UNPROCESSED),
        ..ROW
    },
];

fn fin_in_flight(net: &Network) -> Result<Connection<'_>> {
    let connection = request_across_fin(net)?;
    fin_arrives_before_rst(net, connection)
}

fn fin_in_flight_of_ended_process(net: &Network) -> Result<Connection<'_>> {
    let mut connection = request_across_fin(net)?;
    connection.listener_closes();
    fin_arrives_before_rst(net, connection)
}

fn fin_in_flight_with_the_rst(net: &Network) -> Result<Connection<'_>> {
    let mut connection = request_across_fin(net)?;
    // Right behind the FIN, the RST ends the client's socket before it acknowledges the FIN.
    net.release_packets_to_client()?;
    connection.client_is_gone()?;
    Ok(connection)
}

/// The server has closed and reset the request; all that it sent is still on its way.
fn request_across_fin(net: &Network) -> Result<Connection<'_>> {
    let mut connection = idle_connection(net)?;
    net.hold_packets_to_client()?;
    connection.server_closes();
    connection.server_reaches(FinWait1)?;
    connection.client_requests()?;
    connection.server_is_gone()?;
    Ok(connection)
}

/// The FIN arrives so long before the RST that the client acknowledges it, which is reset too.
fn fin_arrives_before_rst<'net>(net: &Network, mut connection: Connection<'net>) -> Result<Connection<'net>> {
    net.release_fin_to_client()?;
    connection.client_reaches(CloseWait)?;
    net.server.has_sent_resets(2)?;
    net.release_packets_to_client()?;
    connection.client_is_gone()?;
    Ok(connection)
}

fn fin_unprocessed(net: &Network) -> Result<Connection<'_>> {
    let mut connection = idle_connection(net)?;
    connection.server_closes();
    connection.server_reaches(TimeWaitForFin)?;
    connection.client_requests()?;
    connection.client_is_gone()?;
    Ok(connection)
}

fn fin_unprocessed_by_long_request(net: &Network) -> Result<Connection<'_>> {
    let mut connection = Connection::open(net)?;
    connection.exchange()?;
    let_pass(BUSY);
    connection.server_closes();
    connection.server_reaches(TimeWaitForFin)?;
    connection.client_requests_at_length()?;
    connection.client_is_gone()?;
    Ok(connection)
}

fn fin_unprocessed_and_long_fin_timeout(net: &Network) -> Result<Connection<'_>> {
    // Above 60 s the kernel keeps the whole socket instead of a time-wait one.
    net.server.sysctl("net.ipv4.tcp_fin_timeout", "120")?;
    let mut connection = idle_connection(net)?;
    connection.server_closes();
    connection.server_reaches(FinWait2)?;
    connection.client_requests()?;
    connection.client_is_gone()?;
    Ok(connection)
}

fn fin_unprocessed_and_time_wait_expired(net: &Network) -> Result<Connection<'_>> {
    net.server.sysctl("net.ipv4.tcp_fin_timeout", "1")?;
    let mut connection = idle_connection(net)?;
    connection.server_closes();
    connection.server_reaches(TimeWaitForFin)?;
    connection.server_is_gone()?;
    connection.client_requests()?;
    connection.client_is_gone()?;
    Ok(connection)
}

fn close_with_unread_request(net: &Network) -> Result<Connection<'_>> {
    let mut connection = idle_connection(net)?;
    connection.server_acknowledges_at_once()?;
    connection.client_requests()?;
    connection.server_has_the_request_unread()?;
    connection.client_is_acknowledged()?;
    connection.server_closes();
    connection.client_is_gone()?;
    Ok(connection)
}

fn close_with_unacknowledged_request(net: &Network) -> Result<Connection<'_>> {
    let connection = idle_connection(net)?;
    request_and_close_unread(connection)
}

fn close_with_unread_request_without_idling(net: &Network) -> Result<Connection<'_>> {
    let connection = Connection::open(net)?;
    connection.exchange()?;
    let_pass(BUSY);
    request_and_close_unread(connection)
}

fn close_with_unread_request_on_a_reused_port(net: &Network) -> Result<Connection<'_>> {
    let mut connection = idle_connection(net)?;
    connection.server_closes();
    connection.client_reads_the_end()?;
    connection.client_closes();
    connection.server_reaches(TimeWait)?;
    let connection = connection.reopen()?;
    connection.exchange()?;
    let_pass(IDLE);
    request_and_close_unread(connection)
}

fn request_and_close_unread(mut connection: Connection) -> Result<Connection> {
    connection.client_requests()?;
    connection.server_has_the_request_unread()?;
    connection.server_closes();
    connection.client_is_gone()?;
    Ok(connection)
}

fn close_with_long_unread_request(net: &Network) -> Result<Connection<'_>> {
    let mut connection = idle_connection(net)?;
    connection.client_requests()?;
    connection.server_has_the_request_unread()?;
    let_pass(NO_RACE);
    connection.server_closes();
    connection.client_is_gone()?;
    Ok(connection)
}

fn shutdown_then_close_with_unread_request(net: &Network) -> Result<Connection<'_>> {
    let mut connection = idle_connection(net)?;
    connection.server_shuts_down_writing()?;
    connection.server_reaches(FinWait2)?;
    connection.client_requests()?;
    connection.server_has_the_request_unread()?;
    connection.server_closes();
    connection.client_is_gone()?;
    Ok(connection)
}
