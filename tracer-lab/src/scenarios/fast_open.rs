//! The client sends its first request together with its SYN (RFC 7413).

use anyhow::Result;

use crate::oracle::expectation::{BY_SERVER, Idle, Line, RECEIVED, SENT};
use crate::scenarios::base::ROW;
use crate::scenarios::scenario::Scenario;
use crate::testbed::diag::State::SynReceived;
use crate::testbed::network::Network;
use crate::traffic::connection::Connection;

/// The socket has never had a handshake to count from.
const CHILD: Line = Line { request_read: Some("never"), idle: Idle::Null, state: Some("SYN_RECV"), ..SENT };
const CLIENT: Line = Line { idle: Idle::Null, ..RECEIVED };

pub(crate) const ROWS: &[Scenario] = &[
    Scenario {
        name: "fast-open-request-taken",
        says: "the server takes a request that came with the SYN and resets by SO_LINGER 0 instead of a response",
        run: reset_with_request_taken,
        rsts: BY_SERVER,
        server: Some(Line {
            cause: "awaiting_response",
            mechanism: Some("linger"),
            request_read: Some("yes"),
            state: None,
            ..CHILD
        }),
        client: Some(Line { cause: "awaiting_response", request_read: Some("yes"), ..CLIENT }),
        ..ROW
    },
    Scenario {
        name: "fast-open-killed",
        says: "the listener closes before it has accepted a connection that came with a request and no handshake yet",
        run: listener_closes,
        rsts: BY_SERVER,
        server: Some(Line { cause: "killed", mechanism: Some("disconnect"), ..CHILD }),
        client: Some(Line { cause: "killed", request_read: Some("never"), ..CLIENT }),
        ..ROW
    },
    Scenario {
        name: "fast-open-unread",
        says: "the server accepts a connection before its handshake is complete, and closes with the request unread",
        run: close_unread,
        rsts: BY_SERVER,
        server: Some(Line { cause: "never_read", mechanism: Some("unread_close"), ..CHILD }),
        client: Some(Line { cause: "never_read", request_read: Some("never"), ..CLIENT }),
        ..ROW
    },
];

fn reset_with_request_taken(net: &Network) -> Result<Connection<'_>> {
    let mut connection = Connection::fast(net)?;
    connection.server_accepts()?;
    connection.server_reads_the_request()?;
    connection.client_is_acknowledged()?;
    connection.server_resets()?;
    connection.client_is_gone()?;
    Ok(connection)
}

fn listener_closes(net: &Network) -> Result<Connection<'_>> {
    let mut connection = child(net)?;
    connection.listener_closes();
    end(net, connection)
}

fn close_unread(net: &Network) -> Result<Connection<'_>> {
    let mut connection = child(net)?;
    connection.server_accepts()?;
    connection.server_has_the_request_unread()?;
    connection.server_closes();
    end(net, connection)
}

/// The server's kernel has a connection with a request, and the answer to the SYN is held on its way.
fn child(net: &Network) -> Result<Connection<'_>> {
    net.hold_packets_to_client()?;
    let connection = Connection::fast(net)?;
    connection.server_reaches(SynReceived)?;
    Ok(connection)
}

fn end<'net>(net: &Network, mut connection: Connection<'net>) -> Result<Connection<'net>> {
    connection.server_is_gone()?;
    // The client's acknowledgement would be reset as well.
    net.lose_packets_to_server()?;
    net.release_packets_to_client()?;
    connection.client_is_gone()?;
    Ok(connection)
}
