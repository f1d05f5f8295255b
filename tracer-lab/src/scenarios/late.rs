//! A segment arrives for a connection that its host closed itself a moment ago.

use anyhow::Result;

use crate::oracle::expectation::{BY_CLIENT, BY_SERVER, Line, RECEIVED, Rsts, SENT};
use crate::scenarios::base::{ROW, idle_connection, idle_connection_after_slow_response};
use crate::scenarios::scenario::Scenario;
use crate::testbed::diag::State::{CloseWait, TimeWaitForFin};
use crate::testbed::network::Network;
use crate::testbed::raw::Raw;
use crate::traffic::connection::Connection;

pub(crate) const ROWS: &[Scenario] = &[
    Scenario {
        name: "syn-ack-to-nobody",
        says: "the client gives up on its SYN, and then comes the answer",
        run: syn_ack_to_nobody,
        rsts: BY_CLIENT,
        // Nor does a kernel show that a handshake was reset which it had not completed.
        silent_rsts: BY_CLIENT,
        client: Some(Line {
            role: "client",
            cause: "no_request",
            mechanism: Some("no_socket"),
            matched: "none",
            ..SENT
        }),
        ..ROW
    },
    Scenario {
        name: "late-segment-after-last-ack",
        says: "both sides have closed in order, the client first, and then comes another segment of the client's",
        run: late_segment_after_last_ack,
        rsts: BY_SERVER,
        // It ends a time-wait socket, which nobody misses.
        silent_rsts: BY_SERVER,
        server: Some(Line {
            cause: "after_response",
            or: &["unknown"],
            mechanism: Some("listener"),
            matched: "closed",
            ..SENT
        }),
        ..ROW
    },
    Scenario {
        name: "rst-below-fin",
        says: "a RST arrives behind the server's FIN whose sequence number is the FIN's own, one too low",
        run: rst_below_fin,
        rsts: BY_SERVER,
        // The lab sent it past the server's kernel.
        silent_rsts: Rsts { from_server: 1, from_client: 0 },
        client: Some(Line { cause: "after_response", errno: Some("EPIPE"), ..RECEIVED }),
        ..ROW
    },
];

fn syn_ack_to_nobody(net: &Network) -> Result<Connection<'_>> {
    let mut connection = Connection::halfway(net)?;
    connection.client_closes();
    connection.client_is_gone()?;
    net.release_packets_to_client()?;
    net.client.has_sent_resets(1)?;
    connection.server_is_gone()?;
    Ok(connection)
}

fn late_segment_after_last_ack(net: &Network) -> Result<Connection<'_>> {
    let watch = net.watch()?;
    let mut connection = idle_connection(net)?;
    connection.client_closes();
    connection.server_reads_the_end()?;
    connection.server_closes();
    connection.server_is_gone()?;
    let (from, to) = (connection.client_endpoint, connection.server_endpoint);
    let acknowledged = watch.next(to, from)?;
    Raw { host: &net.client, from, to, sequence: watch.next(from, to)? }.acknowledgement(acknowledged)?;
    net.server.has_sent_resets(1)?;
    Ok(connection)
}

fn rst_below_fin(net: &Network) -> Result<Connection<'_>> {
    let watch = net.watch()?;
    let mut connection = idle_connection_after_slow_response(net)?;
    connection.server_closes();
    connection.client_reaches(CloseWait)?;
    // Else the FIN would be sent again.
    connection.server_reaches(TimeWaitForFin)?;
    let (from, to) = (connection.server_endpoint, connection.client_endpoint);
    let sequence = watch.next(from, to)?.wrapping_sub(1);
    Raw { host: &net.server, from, to, sequence }.rst()?;
    connection.client_is_gone()?;
    Ok(connection)
}
