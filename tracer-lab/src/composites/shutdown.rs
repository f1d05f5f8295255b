//! A server that ends its connections in two steps, as the JDK's and cheroot do.

use std::io::Read as _;
use std::net::Shutdown;

use anyhow::{Result, ensure};

use crate::composites::reload::idle_closes;
use crate::scenarios::base::IDLE;
use crate::testbed::daemon::DaemonUnderTest;
use crate::testbed::network::{Family, Network};
use crate::testbed::sockets::listen;
use crate::testbed::wait::let_pass;
use crate::traffic::ends::Ends;

const CONNECTIONS: u64 = 5;

/// The second step comes before the FIN of the first is acknowledged: the kernel sets the state once more.
pub(crate) fn then_close(tracer: &DaemonUnderTest, family: Family) -> Result<()> {
    let net = Network::build(family)?;
    let netns = [net.server.inum(), net.client.inum()];
    tracer.lines.forget(&netns);
    let listener = listen(&net, &net.server, 16)?;
    let open = |_| Ends::open(&net, &listener, net.server_endpoint());
    let connections = (0..CONNECTIONS).map(open).collect::<Result<Vec<_>>>()?;
    connections.iter().try_for_each(Ends::exchange)?;
    let_pass(IDLE);
    net.hold_packets_to_client()?;
    let mut clients = Vec::new();
    for Ends { client, server, .. } in connections {
        server.shutdown(Shutdown::Write)?;
        drop(server);
        clients.push(client);
    }
    net.release_packets_to_client()?;
    for mut client in clients {
        ensure!(client.read(&mut [0])? == 0, "the server says more");
    }
    let reported = tracer.lines.resets(&netns, 0);
    ensure!(reported.is_empty(), "the tracer should be silent: {reported:?}");
    idle_closes(tracer, net.server_endpoint(), CONNECTIONS)
}
