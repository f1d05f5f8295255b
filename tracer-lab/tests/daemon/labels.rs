//! More servers than there are labels for.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use tracer_lab::testbed::daemon::{DaemonUnderTest, command};
use tracer_lab::testbed::scrape::Scrape;
use tracer_lab::testbed::wait::{let_pass, until};

use crate::network::{Network, exchange};
use crate::turn;

/// Threads that scan.
const SCANNERS: u16 = 4;
/// Servers of a deploy that are there at the same time.
const BATCH: u16 = 250;
/// Deploys.
const BATCHES: u16 = 20;
/// Requests that meet a close.
const RACES: usize = 3;
/// Longer than any exchange pauses.
const IDLE: Duration = Duration::from_millis(100);
/// A scrape stays below this.
const MAX_BYTES: usize = 1_000_000;

#[test]
fn neither_a_scan_nor_a_crowd_of_servers_hides_the_next_one() -> Result<()> {
    let Some(_turn) = turn::alone() else { return Ok(()) };
    let network = Network::new()?;
    let daemon = DaemonUnderTest::of(command(&[], &["--events", "off"]))?;
    let lasting = server(&network, 60_000);

    idle_closes(&network, &[lasting])?;
    let scanned = scan(&network)?;
    idle_closes(&network, &[lasting])?;
    for batch in 0..BATCHES {
        let servers: Vec<_> =
            (batch * BATCH..(batch + 1) * BATCH).map(|index| server(&network, index)).collect();
        idle_closes(&network, &servers)?;
        idle_closes(&network, &[lasting])?;
    }
    let new = server(&network, 60_001);
    race(&network, new)?;
    until("the races to be told", || {
        let path = format!("/api/v1/incidents?server={new}&cause=keepalive_race");
        let told = daemon.json(&path)?.as_array().map_or(0, Vec::len);
        Ok((told == 2 * RACES).then_some(()))
    })?;

    let scrape = daemon.scrape()?;
    println!("{scanned} ports and {} servers later a scrape has {} bytes", BATCH * BATCHES, scrape.0.len());
    assert!(scrape.0.len() < MAX_BYTES);
    check_races(&scrape, new)?;
    check_closes(&scrape, lasting, 2 + u64::from(BATCHES))?;
    let own = format!("server=\"{}:", Ipv4Addr::LOCALHOST);
    assert_eq!(scrape.sum("tracer_failures_total", &["cause=\"refused\"", &own])?, 0, "{}", scrape.0);
    // Each of the crowd was a server and a client's server here; at most as many as there are labels for remain.
    let evicted = scrape.value("tracer_label_evictions_total{label=\"server\"}")?;
    assert!(evicted >= 2 * u64::from(BATCH * BATCHES) - 500, "{evicted} evictions");
    Ok(())
}

/// One of many servers of a network.
fn server(network: &Network, index: u16) -> SocketAddr {
    let [third, fourth] = index.to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(127, 77, third, fourth), network.port))
}

/// Tries every port of the network once; returns how many were closed.
fn scan(network: &Network) -> Result<u32> {
    let closed = |first: u16| {
        let refused = |port| match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(1),
            // A port can be connected to itself.
            Ok(_) => Ok(0),
            Err(error) => Err(error).context("a port could not be tried"),
        };
        (first..=u16::MAX).step_by(usize::from(SCANNERS)).map(refused).sum::<Result<u32>>()
    };
    network.enter(|| {
        thread::scope(|scope| {
            let scanners: Vec<_> = (1..=SCANNERS).map(|first| scope.spawn(move || closed(first))).collect();
            scanners
                .into_iter()
                .map(|scanner| scanner.join().map_err(|_| anyhow!("a scanner panicked"))?)
                .sum()
        })
    })
}

/// These servers start, each closes one connection that was idle for a moment after an exchange, and they end.
pub(crate) fn idle_closes(network: &Network, servers: &[SocketAddr]) -> Result<()> {
    network.enter(|| {
        let listeners = servers.iter().map(TcpListener::bind).collect::<Result<Vec<_>, _>>()?;
        let ends = listeners.iter().map(exchange).collect::<Result<Vec<_>>>()?;
        let_pass(IDLE);
        for (mut client, server) in ends {
            drop(server);
            ensure!(client.read(&mut [0])? == 0, "the server said more");
        }
        Ok(())
    })
}

/// Requests that cross the close of their idle connections.
fn race(network: &Network, server: SocketAddr) -> Result<()> {
    network.enter(|| {
        let listener = TcpListener::bind(server)?;
        let ends = (0..RACES).map(|_| exchange(&listener)).collect::<Result<Vec<_>>>()?;
        let_pass(IDLE);
        for (mut client, server) in ends {
            drop(server);
            client.write_all(b"?")?;
        }
        Ok(())
    })
}

/// Every series that a race has, at both ends.
fn check_races(scrape: &Scrape, server: SocketAddr) -> Result<()> {
    check_closes(scrape, server, RACES as u64)?;
    let server = format!("server=\"{server}\"");
    let races = RACES as u64;
    for (family, role) in [
        ("tracer_failures_total", "server"),
        ("tracer_failures_total", "client"),
        ("tracer_resets_sent_total", "server"),
        ("tracer_resets_received_total", "client"),
        ("tracer_reset_idle_seconds_count", "server"),
        ("tracer_reset_idle_seconds_count", "client"),
    ] {
        let labels = [&*server, &format!("role=\"{role}\""), "cause=\"keepalive_race\""];
        assert_eq!(scrape.sum(family, &labels)?, races, "{family}, {role}");
    }
    assert_eq!(scrape.sum("tracer_request_read_total", &[&server])?, 2 * races);
    Ok(())
}

/// The closes of idle connections, at both ends.
fn check_closes(scrape: &Scrape, server: SocketAddr, closes: u64) -> Result<()> {
    let server = format!("server=\"{server}\"");
    for role in ["server", "client"] {
        let labels = [&*server, &format!("role=\"{role}\""), "closed_by=\"server\""];
        assert_eq!(scrape.sum("tracer_idle_close_seconds_count", &labels)?, closes, "{server}, {role}");
    }
    Ok(())
}
