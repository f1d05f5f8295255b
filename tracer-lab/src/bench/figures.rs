//! What the daemon needs when little or nothing happens: start-up, memory, idle CPU, scrapes.

use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use socket2::{Domain, Socket, Type};

use crate::bench::daemon;
use crate::bench::report::table;
use crate::bench::spread::Spread;
use crate::bench::tally::ratio;
use crate::bench::testbed;
use crate::testbed::host::Host;
use crate::testbed::http;
use crate::testbed::wait::{let_pass, until};
use crate::traffic::ends::Ends;

/// Starts that are timed.
const STARTS: usize = 7;
/// How long idleness is watched.
const WATCHED: Duration = Duration::from_secs(5);
/// Connections that are remembered at once.
const CONNECTIONS: u32 = 100_000;
/// Servers that idle connections are closed at, each with series for both ends: as many as keep their labels although
/// nothing is heard of them any more.
const IDLE_SERVERS: u16 = 83;
const FIRST_PORT: u16 = 21_000;
/// Longer than any exchange pauses.
const IDLE: Duration = Duration::from_millis(100);
const SCRAPES: usize = 50;

/// Measures all of it.
pub(crate) fn measure() -> Result<String> {
    let mut rows = Vec::new();
    let mut row = |what: &str, value: String, target: &str| {
        rows.push(vec![what.to_owned(), value, target.to_owned()]);
    };
    row("from exec to attached", format!("{:.0} ms", start_up()?), "300 ms");
    let (memory, cpu) = idle()?;
    row("idle RSS", format!("{:.1} MiB", ratio(memory, 1024)), "12 MiB");
    row("idle CPU", format!("{:.0} µs per second", ratio(cpu, 1000) / WATCHED.as_secs_f64()), "none");
    let (tracked, memory) = remembered()?;
    row(
        &format!("RSS with {tracked} connections tracked"),
        format!("{:.1} MiB", ratio(memory, 1024)),
        "32 MiB",
    );
    let (series, bytes, times) = scrapes()?;
    row(&format!("a scrape of {series} series, {} KiB", bytes / 1024), format!("{times:.1} ms"), "10 ms");
    let head = ["what", "measured", "target"].map(str::to_owned);
    Ok(table(&head, rows))
}

/// Milliseconds from starting the process until all probes are attached.
fn start_up() -> Result<Spread> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let began = Instant::now();
        let daemon = daemon::start(&[])?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
        drop(daemon);
    }
    Ok(Spread::of(times))
}

/// KiB of memory and nanoseconds of CPU time of a daemon that has nothing to do.
fn idle() -> Result<(u64, u64)> {
    let daemon = daemon::start(&[])?;
    // What starting took is over then.
    let_pass(Duration::from_secs(1));
    let before = daemon::cpu_ns(&daemon)?;
    let_pass(WATCHED);
    Ok((daemon::memory(&daemon)?.0, daemon::cpu_ns(&daemon)? - before))
}

/// How many connections are tracked after that many were closed, and the memory in KiB.
fn remembered() -> Result<(u64, u64)> {
    let host = Host::with_loopback("quiet")?;
    let daemon = daemon::start(&["--max-closed-connections", &CONNECTIONS.to_string()])?;
    host.enter(|| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, testbed::PORT))?;
        thread::scope(|scope| {
            // The server closes first: it is the one that is remembered.
            let server = scope.spawn(|| (0..CONNECTIONS).try_for_each(|_| listener.accept().map(drop)));
            (0..CONNECTIONS).try_for_each(meet)?;
            Ok(server.join().map_err(|_| anyhow!("the server panicked"))??)
        })
    })?;
    until("the daemon to have read all closes", || {
        let tracked = daemon.scrape()?.value("tracer_connections_tracked")?;
        Ok((tracked >= CONNECTIONS.into()).then_some(()))
    })?;
    Ok((daemon.scrape()?.value("tracer_connections_tracked")?, daemon::memory(&daemon)?.0))
}

/// A connection that is closed by the server, each from an address of its own.
fn meet(number: u32) -> Result<()> {
    let [_, x, y, z] = number.to_be_bytes();
    let client = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    client.bind(&std::net::SocketAddr::from((Ipv4Addr::new(127, x + 1, y, z), 0)).into())?;
    client.connect(&std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, testbed::PORT)).into())?;
    ensure!((&client).read(&mut [0])? == 0, "the server says something");
    Ok(())
}

/// Series and bytes of an answer with many servers, and milliseconds until it is there.
fn scrapes() -> Result<(usize, usize, Spread)> {
    let host = Host::with_loopback("quiet")?;
    let daemon = daemon::start(&["--events", "off"])?;
    host.enter(|| {
        let exchanges = (FIRST_PORT..FIRST_PORT + IDLE_SERVERS).map(exchange).collect::<Result<Vec<_>>>()?;
        let_pass(IDLE);
        drop(exchanges);
        Ok(())
    })?;
    let pairs = u64::from(IDLE_SERVERS) * 2;
    until("the daemon to have read all closes", || {
        Ok((daemon.scrape()?.sum("tracer_idle_close_seconds_count", &[])? >= pairs).then_some(()))
    })?;
    let mut times = Vec::new();
    let mut body = String::new();
    for _ in 0..SCRAPES {
        let asked = Instant::now();
        body = http::get(daemon.port, "/metrics")?.text().context("metrics are text")?;
        times.push(asked.elapsed().as_secs_f64() * 1e3);
    }
    let series = body.lines().filter(|line| !line.starts_with('#')).count();
    Ok((series, body.len(), Spread::of(times)))
}

/// Both ends of a connection after a request and its response; the server's end is first, and is closed first.
fn exchange(port: u16) -> Result<(TcpStream, TcpStream)> {
    let ends = Ends::local(&TcpListener::bind((Ipv4Addr::LOCALHOST, port))?)?;
    ends.exchange()?;
    Ok((ends.server, ends.client))
}
