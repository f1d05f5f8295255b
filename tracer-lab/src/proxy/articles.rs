//! Two articles that this project began with, done again: what their authors found out with packet captures, the tracer
//! says by itself.
//!
//! - "What? Connection reset by peer?" lets a client's pause between requests walk across the moment at which Node
//!   closes: `examples/node-keepalive`.
//! - "Nginx: `recv()` failed (104: Connection reset by peer) troubleshooting" has nginx in front of Node, and lets Node
//!   wait for longer than nginx: [`nginx_before_node`].

use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::proxy::nginx::Nginx;
use crate::proxy::status;
use crate::testbed::daemon::DaemonUnderTest;
use crate::testbed::host::Host;
use crate::testbed::reset::Reset;
use crate::testbed::server::ServerProgram;
use crate::testbed::wait::let_pass;
use crate::workspace;

/// Where Node serves, in a namespace of its own.
const NODE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8001);
/// As many as nginx keeps connections for.
const WALKERS: u32 = 16;
const ROUNDS: u32 = 8;
/// At most, while fewer than [`ENOUGH`] requests failed of those that should.
const MANY_ROUNDS: u32 = 50;
const ENOUGH: usize = 3;
/// Milliseconds from the close to the next request.
const LATEST: f64 = 0.6;
const EARLIEST: f64 = -1.6;
const MEASURED: usize = 5;

/// What was lost, as each side counted it.
#[derive(Debug)]
pub struct Lost {
    /// Requests that failed, by the word of those who sent them.
    pub failed: usize,
    /// Keep-alive races that the tracer saw as their client, and as the server.
    pub races: [usize; 2],
    /// Whatever else it reported.
    pub others: Vec<Reset>,
    /// Each text of advice on Node.
    pub advice: Vec<String>,
}

impl fmt::Display for Lost {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [client, server] = self.races;
        write!(out, "{} failed; races: {client} at the client, {server} at the server; ", self.failed)?;
        write!(out, "{} other incidents; advice: {:?}", self.others.len(), self.advice)
    }
}

impl Lost {
    /// Waits until the tracer has reported at both ends what failed; whether it did is for the caller to judge.
    fn count(tracer: &DaemonUnderTest, host: &Host, node: SocketAddr, failed: usize) -> Result<Self> {
        let (mut clients, mut servers, mut others) = (0, 0, Vec::new());
        for reset in tracer.lines.resets(&[host.inum()], 2 * failed) {
            match (reset.cause.as_str(), reset.role.as_str()) {
                ("keepalive_race", "client") => clients += 1,
                ("keepalive_race", "server") => servers += 1,
                _ => others.push(reset),
            }
        }
        let advice = tracer.json("/api/v1/advice")?;
        let of_node = |advice: &&Value| advice["server"] == node.to_string();
        let texts = advice.as_array().into_iter().flatten().filter(of_node);
        let advice = texts.filter_map(|advice| advice["text"].as_str().map(str::to_owned)).collect();
        Ok(Self { failed, races: [clients, servers], others, advice })
    }
}

/// The first article's client and server, as `examples/` has them.
pub fn pause_across_the_close(tracer: &DaemonUnderTest) -> Result<Lost> {
    let (host, directory) = (Host::with_loopback("node")?, TempDir::new().context("no temporary directory")?);
    let node = SocketAddr::from((Ipv4Addr::LOCALHOST, 8000));
    let _server = serve(&host, directory.path(), node, Duration::from_millis(500))?;
    let mut client = Command::new("node");
    client.arg(workspace::root().join("examples/node-keepalive/client.js"));
    let output = host.enter(|| client.output().context("cannot run node"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success() && said.contains("'200':"), "the example fails: {said}");
    println!("{}", said.trim());
    // { '200': 2180, ECONNRESET: 20 }
    let failed = said.split("ECONNRESET: ").nth(1).and_then(|rest| rest.split([' ', ',']).next());
    Lost::count(tracer, &host, node, failed.map_or(Ok(0), str::parse)?)
}

/// nginx in front of Node, which `keeps` idle connections; requests come as others are closed that idled for `rest`, or
/// for as long as Node keeps them.
pub fn nginx_before_node(
    tracer: &DaemonUnderTest,
    keeps: Duration,
    rest: Option<Duration>,
) -> Result<(Lost, Duration)> {
    let (host, directory) = (Host::with_loopback("node")?, TempDir::new().context("no temporary directory")?);
    let _server = serve(&host, directory.path(), NODE, keeps)?;
    let nginx = Nginx::start(&host, directory.path(), NODE)?;
    let rounds = if rest.is_some() { ROUNDS } else { MANY_ROUNDS };
    let rest = rest.map_or_else(|| host.enter(closes_after), Ok)?;
    thread::scope(|scope| {
        let walkers: Vec<_> = (0..WALKERS).map(|_| scope.spawn(|| walk(&nginx, rest, rounds))).collect();
        walkers.into_iter().try_for_each(|walker| walker.join().map_err(|_| anyhow!("a walker panicked"))?)
    })?;
    let failed = nginx.complaints()?.total();
    Ok((Lost::count(tracer, &host, NODE, failed)?, rest))
}

fn serve(host: &Host, directory: &Path, at: SocketAddr, keeps: Duration) -> Result<ServerProgram> {
    let script = workspace::root().join("examples/node-keepalive/server.js");
    let words =
        ["node".into(), script.display().to_string(), keeps.as_millis().to_string(), at.port().to_string()];
    ServerProgram::start(host, at, &words, directory)
}

/// After how long Node closes an idle connection: some releases add a second to the setting.
fn closes_after() -> Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..MEASURED {
        let mut connection = TcpStream::connect(NODE)?;
        connection.write_all(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")?;
        ensure!(connection.read(&mut [0; 1024])? > 0, "Node does not answer");
        let answered = Instant::now();
        while connection.read(&mut [0; 1024])? > 0 {}
        times.push(answered.elapsed());
    }
    times.sort();
    Ok(times[MEASURED / 2])
}

/// Asks again and again, each time about when the connection is closed.
fn walk(nginx: &Nginx, rest: Duration, rounds: u32) -> Result<()> {
    for round in 0..rounds {
        if round >= ROUNDS && nginx.complaints()?.total() >= ENOUGH {
            break;
        }
        let status = status(nginx.request()?)?;
        ensure!([200, 502].contains(&status), "nginx answers {status}");
        let late = EARLIEST + fastrand::f64() * (LATEST - EARLIEST);
        let_pass(Duration::from_secs_f64(rest.as_secs_f64() + late / 1e3));
    }
    Ok(())
}
