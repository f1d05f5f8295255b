//! `--server-port`: what is not asked for is left out by the kernel side already.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use socket2::SockRef;
use tracer_lab::testbed::daemon::{DaemonUnderTest, command};
use tracer_lab::testbed::scrape::Scrape;
use tracer_lab::testbed::wait::until;

use crate::network::{Network, exchange};
use crate::turn;

/// Refused connections of each crowd.
const REFUSALS: usize = 2000;
/// Connections that end in each of the other ways.
const CONNECTIONS: usize = 500;
/// Where nobody is: tests have ports of their own below this.
const UNUSED: &str = "16000";
/// The neighbour of the network's own port: nobody else's either, for a network is a host of its own.
const NEXT: u16 = 1;
/// All that a daemon can be asked for: each hook is attached.
const FLAGS: [&str; 4] = ["--events", "off", "--requests", "--request-lines"];

#[test]
fn a_port_that_nobody_uses_costs_no_event_and_no_memory() -> Result<()> {
    let Some(_turn) = turn::alone() else { return Ok(()) };
    let network = Network::new()?;
    let daemon = DaemonUnderTest::of(command(&[], &[&FLAGS[..], &["--server-port", UNUSED]].concat()))?;
    let sent_before = sent(&Scrape::take(daemon.port)?)?;

    network.refuse_many(REFUSALS)?;
    end_connections(&network, network.port, CONNECTIONS)?;

    // The host's segments are counted all the same.
    let due = sent_before + network.host.tcp_counter("OutRsts")?;
    let scrape = until("all RST segments to be counted", || {
        Ok(Some(Scrape::take(daemon.port)?).filter(|scrape| sent(scrape).is_ok_and(|count| count >= due)))
    })?;
    ensure!(due - sent_before >= (REFUSALS + 2 * CONNECTIONS) as u64, "only {due} RST segments were due");
    assert_eq!(scrape.sum("tracer_events_total", &[])?, 0, "{}", scrape.0);
    assert_eq!(scrape.value("tracer_connections_tracked")?, 0);
    assert_eq!(scrape.sum("tracer_requests_total", &[])?, 0);
    assert_eq!(scrape.sum("tracer_events_lost_total", &["buffer=\"events\""])?, 0);
    // Stopped, it has read what the ring still held.
    assert_eq!(daemon.end(Signal::SIGTERM)?.stdout, "");
    Ok(())
}

#[test]
fn each_hook_reports_the_ports_that_are_listed_and_no_others() -> Result<()> {
    let Some(_turn) = turn::alone() else { return Ok(()) };
    let network = Network::new()?;
    let listed = network.port.to_string();
    let daemon = DaemonUnderTest::of(command(&[], &[&FLAGS[..], &["--server-port", &listed]].concat()))?;
    let events = || -> Result<[u64; 4]> {
        let scrape = Scrape::take(daemon.port)?;
        let [fin, close, sent, received] = ["fin", "close", "send_reset", "receive_reset"]
            .map(|event| scrape.value(&format!("tracer_events_total{{event=\"{event}\"}}")));
        Ok([fin?, close?, sent?, received?])
    };

    network.refuse(0..1)?;
    end_connections(&network, network.port, 1)?;
    // Refused, aborted, and met by the close; a connection that is closed in good order sends none.
    let seen = until("the events of the listed port", || {
        Ok(Some(events()?)
            .filter(|[fin, close, sent, received]| *fin >= 2 && *close >= 1 && *sent == 3 && *received == 3))
    })?;
    let counted = || Scrape::take(daemon.port)?.sum("tracer_requests_total", &["role=\"server\""]);
    assert_eq!(counted()?, 3, "one request of each connection");

    refuse(&network, network.port + NEXT, 50)?;
    end_connections(&network, network.port + NEXT, 50)?;
    // Records stand in the ring in their order: these come after all others.
    network.refuse(0..1)?;
    until("the last events of the listed port", || Ok((events()?[3] > seen[3]).then_some(())))?;
    assert_eq!(events()?, [seen[0], seen[1], seen[2] + 1, seen[3] + 1]);
    assert_eq!(counted()?, 3);
    Ok(())
}

fn sent(scrape: &Scrape) -> Result<u64> {
    scrape.value("tracer_rst_segments_sent_total")
}

/// Connects this many times to a port where nobody listens.
fn refuse(network: &Network, port: u16, times: usize) -> Result<()> {
    network.enter(|| {
        for _ in 0..times {
            let refused = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
            ensure!(refused.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused));
        }
        Ok(())
    })
}

/// Ends this many connections to one of the network's ports in each way: in good order, aborted by the server, and
/// closed by the server before the client sends another request, which meets the time-wait socket.
fn end_connections(network: &Network, port: u16, times: usize) -> Result<()> {
    network.enter(|| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        for _ in 0..times {
            let (mut client, server) = exchange(&listener)?;
            drop(server);
            ensure!(client.read(&mut [0])? == 0, "the server said more");
            drop(client);

            let (mut client, server) = exchange(&listener)?;
            SockRef::from(&server).set_linger(Some(Duration::ZERO))?;
            drop(server);
            reset(&client.read(&mut [0]))?;

            let (mut client, server) = exchange(&listener)?;
            drop(server);
            ensure!(client.read(&mut [0])? == 0, "the server said more");
            client.write_all(b"?")?;
            // On loopback the answer is there before the call returns.
            reset(&client.write(b"?"))?;
        }
        Ok(())
    })
}

fn reset(done: &std::io::Result<usize>) -> Result<()> {
    let reset = |kind| matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
    ensure!(done.as_ref().is_err_and(|error| reset(error.kind())), "the connection was not reset: {done:?}");
    Ok(())
}
