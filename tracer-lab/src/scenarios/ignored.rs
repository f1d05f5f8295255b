//! RSTs that a kernel ignores, or that end what is no connection yet: the tracer must say nothing.

use anyhow::Result;

use crate::oracle::expectation::{BY_CLIENT, Rsts};
use crate::scenarios::base::{ROW, idle_connection};
use crate::scenarios::scenario::Scenario;
use crate::testbed::diag::State::TimeWait;
use crate::testbed::network::Network;
use crate::testbed::raw::Raw;
use crate::testbed::wait::until;
use crate::traffic::connection::Connection;

/// Further than any window of the lab's reaches.
const OUT_OF_WINDOW: u32 = 1 << 30;

/// The lab sends a RST past the client's kernel.
const FORGED: Scenario = Scenario { silent_rsts: BY_CLIENT, ..ROW };

pub(crate) const ROWS: &[Scenario] = &[
    Scenario {
        name: "rst-out-of-window",
        says: "a RST arrives whose sequence number is out of the window, and the connection goes on",
        run: out_of_window,
        ..FORGED
    },
    Scenario {
        name: "rst-to-listener",
        says: "a RST arrives at a port whose listener has no such connection",
        run: to_listener,
        ..FORGED
    },
    Scenario {
        name: "rst-to-time-wait",
        says: "a RST arrives at the server's time-wait socket after both sides have closed",
        run: to_time_wait,
        ..FORGED
    },
    Scenario {
        name: "rst-to-half-open",
        says: "a RST ends a handshake that the server has not completed, which no kernel shows",
        run: to_half_open,
        silent_rsts: Rsts { from_server: 0, from_client: 1 },
        ..ROW
    },
];

fn out_of_window(net: &Network) -> Result<Connection<'_>> {
    let watch = net.watch()?;
    let connection = idle_connection(net)?;
    let sequence = watch.next(connection.client_endpoint, connection.server_endpoint)?;
    reset(net, &connection, sequence.wrapping_add(OUT_OF_WINDOW))?;
    connection.exchange()?;
    Ok(connection)
}

fn to_listener(net: &Network) -> Result<Connection<'_>> {
    let connection = Connection::none(net)?;
    reset(net, &connection, 1)?;
    Ok(connection)
}

fn to_time_wait(net: &Network) -> Result<Connection<'_>> {
    let watch = net.watch()?;
    let mut connection = idle_connection(net)?;
    connection.server_closes();
    connection.client_reads_the_end()?;
    connection.client_closes();
    connection.server_reaches(TimeWait)?;
    reset(net, &connection, watch.next(connection.client_endpoint, connection.server_endpoint)?)?;
    Ok(connection)
}

fn to_half_open(net: &Network) -> Result<Connection<'_>> {
    let watch = net.watch()?;
    let mut connection = Connection::halfway(net)?;
    reset(net, &connection, watch.next(connection.client_endpoint, connection.server_endpoint)?)?;
    connection.server_is_gone()?;
    Ok(connection)
}

/// Sends a RST from the client's address, and waits until the server's kernel has it.
fn reset(net: &Network, connection: &Connection, sequence: u32) -> Result<()> {
    let (from, to) = (connection.client_endpoint, connection.server_endpoint);
    let arrived = net.server.tcp_counter("InSegs")? + 1;
    Raw { host: &net.client, from, to, sequence }.rst()?;
    until("the RST to arrive", || Ok((net.server.tcp_counter("InSegs")? >= arrived).then_some(())))
}
