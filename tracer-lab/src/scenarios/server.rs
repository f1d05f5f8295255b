//! The server's side resets for another reason than a race.

use std::time::Duration;

use anyhow::Result;

use crate::oracle::expectation::{BY_SERVER, Idle, Line, RECEIVED, SENT};
use crate::scenarios::base::{NO_RACE, ROW, idle_connection, idle_connection_after_slow_response};
use crate::scenarios::scenario::Scenario;
use crate::testbed::diag::State::Established;
use crate::testbed::network::Network;
use crate::testbed::wait::let_pass;
use crate::traffic::connection::Connection;

pub(crate) const ROWS: &[Scenario] = &[
    Scenario {
        name: "linger-reset-idle",
        says: "the server resets an idle connection by SO_LINGER 0",
        run: linger_reset_when_idle,
        rsts: BY_SERVER,
        server: Some(Line { cause: "after_response", mechanism: Some("linger"), ..SENT }),
        client: Some(Line { cause: "after_response", ..RECEIVED }),
        ..ROW
    },
    Scenario {
        name: "linger-reset-request",
        says: "the server takes the next request and resets by SO_LINGER 0 instead of a response",
        run: linger_reset_of_open_request,
        rsts: BY_SERVER,
        server: Some(Line {
            cause: "awaiting_response",
            mechanism: Some("linger"),
            request_read: Some("yes"),
            idle: Idle::Demanded,
            ..SENT
        }),
        client: Some(Line {
            cause: "awaiting_response",
            request_read: Some("yes"),
            idle: Idle::Demanded,
            ..RECEIVED
        }),
        ..ROW
    },
    Scenario {
        name: "linger2-negative",
        says: "the server closes an idle connection that TCP_LINGER2 = -1 keeps no FIN_WAIT2 of",
        run: no_fin_wait,
        rsts: BY_SERVER,
        server: Some(Line { cause: "after_response", mechanism: Some("linger"), ..SENT }),
        client: Some(Line { cause: "after_response", errno: Some("EPIPE"), ..RECEIVED }),
        ..ROW
    },
    Scenario {
        name: "keepalive-unanswered",
        says: "the client does not answer the server's TCP keepalive probes",
        run: keepalive_probes_unanswered,
        rsts: BY_SERVER,
        server: Some(Line {
            cause: "tcp_keepalive",
            mechanism: Some("keepalive"),
            errno: Some("ETIMEDOUT"),
            ..SENT
        }),
        ..ROW
    },
    Scenario {
        name: "accept-queue-full",
        says: "the accept queue is full, and tcp_abort_on_overflow is set",
        run: accept_queue_overflow,
        rsts: BY_SERVER,
        server: Some(Line {
            cause: "backlog_overflow",
            // The segment that completes a handshake could as well belong to a connection that is not known: only the
            // client's end tells.
            cause_without_reason: Some("no_request"),
            mechanism: Some("listener"),
            matched: "none",
            ..SENT
        }),
        client: Some(Line {
            cause: "backlog_overflow",
            cause_without_reason: Some("no_request"),
            ..RECEIVED
        }),
        ..ROW
    },
    Scenario {
        name: "socket-killed",
        says: "an operator kills the server's socket with ss -K",
        run: socket_killed,
        rsts: BY_SERVER,
        server: Some(Line { cause: "killed", mechanism: Some("abort"), errno: Some("ECONNABORTED"), ..SENT }),
        client: Some(Line { cause: "killed", ..RECEIVED }),
        ..ROW
    },
    Scenario {
        name: "listener-closed",
        says: "the listener closes before it has accepted the connection",
        run: listener_closed_with_child,
        rsts: BY_SERVER,
        server: Some(Line { cause: "killed", mechanism: Some("disconnect"), ..SENT }),
        client: Some(Line { cause: "killed", ..RECEIVED }),
        ..ROW
    },
];

fn linger_reset_when_idle(net: &Network) -> Result<Connection<'_>> {
    let mut connection = idle_connection(net)?;
    connection.server_resets()?;
    connection.client_is_gone()?;
    Ok(connection)
}

fn linger_reset_of_open_request(net: &Network) -> Result<Connection<'_>> {
    let mut connection = idle_connection(net)?;
    connection.client_requests()?;
    connection.server_reads_the_request()?;
    let_pass(NO_RACE);
    connection.server_resets()?;
    connection.client_is_gone()?;
    Ok(connection)
}

fn no_fin_wait(net: &Network) -> Result<Connection<'_>> {
    let mut connection = idle_connection_after_slow_response(net)?;
    connection.server_lingers_not_at_all()?;
    connection.server_closes();
    connection.client_is_gone()?;
    Ok(connection)
}

fn keepalive_probes_unanswered(net: &Network) -> Result<Connection<'_>> {
    let mut connection = idle_connection(net)?;
    net.hold_packets_to_client()?;
    connection.server_probes_every(Duration::from_secs(1))?;
    connection.server_is_gone()?;
    Ok(connection)
}

fn accept_queue_overflow(net: &Network) -> Result<Connection<'_>> {
    net.server.sysctl("net.ipv4.tcp_abort_on_overflow", "1")?;
    Connection::overflow(net)
}

fn socket_killed(net: &Network) -> Result<Connection<'_>> {
    let mut connection = idle_connection(net)?;
    connection.server_is_killed()?;
    connection.server_is_gone()?;
    connection.client_is_gone()?;
    Ok(connection)
}

fn listener_closed_with_child(net: &Network) -> Result<Connection<'_>> {
    let mut connection = Connection::unaccepted(net)?;
    connection.server_reaches(Established)?;
    connection.listener_closes();
    connection.client_is_gone()?;
    Ok(connection)
}
