//! What the tracer exists for: a proxy's error log against what the tracer says.

pub mod articles;
mod nginx;

use std::collections::HashSet;
use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;

use crate::oracle::describe::{describe, describe_wire};
use crate::oracle::evidence::weigh;
use crate::proxy::nginx::{Complaints, Nginx};
use crate::testbed::capture::{Capture, RST, Segment};
use crate::testbed::daemon::DaemonUnderTest;
use crate::testbed::diag::{Diag, State};
use crate::testbed::network::{Family, Network};
use crate::testbed::reset::Reset;
use crate::testbed::sockets::{accept, listen};
use crate::testbed::wait::{let_pass, until};
use crate::traffic::session::Session;

/// How many errors are provoked, and upper bound on the requests sent for it.
const ERRORS: usize = 20;
const REQUESTS: usize = 60;
/// How long the proxy's connection to its upstream idles before it races: many jiffies.
const IDLE: Duration = Duration::from_millis(80);
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";

/// How often everybody counted a request that was lost to a keep-alive race.
#[derive(Debug)]
pub struct Tally {
    complaints: Complaints,
    /// Connections that the upstream reset, in the capture.
    captured: usize,
    /// The tracer's lines.
    reported: usize,
    /// The tracer's counter.
    counted: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Complaints { reset_by_peer, prematurely_closed } = self.complaints;
        write!(
            out,
            "nginx logged {reset_by_peer} × reset by peer and {prematurely_closed} × prematurely closed, "
        )?;
        write!(out, "{} in all; ", self.complaints.total())?;
        write!(out, "captured {}, reported {}, counted {}", self.captured, self.reported, self.counted)
    }
}

/// Lets an upstream race with nginx, and compares nginx's error log, the capture and the tracer.
pub fn race_with_nginx(tracer: &DaemonUnderTest) -> Result<Tally> {
    let directory = TempDir::new().context("no temporary directory for nginx")?;
    // A port of its own: the tracer's counters know servers, not namespaces.
    let port = 20_000 + u16::try_from(process::id() % 10_000)?;
    let net = Network::build_for_port(Family::V4, port)?;
    let server = net.server_endpoint();
    let capture = Capture::start(&net.client, directory.path().join("client.pcap"))?;
    let netns = [net.client.inum()];
    tracer.lines.forget(&netns);
    let nginx = Nginx::start(&net.client, directory.path(), server)?;
    let raced = provoke(&net, &nginx)?;
    let resets = tracer.lines.resets(&netns, raced.len());
    let segments = capture.finish(net.nowhere())?;
    for client in &raced {
        agree(&resets, &segments, *client, server)?;
    }
    let tally = Tally {
        complaints: nginx.complaints()?,
        captured: reset_connections(&segments, server),
        reported: resets.len(),
        counted: races_received(&tracer.metrics()?, server),
    };
    let counts = [raced.len(), tally.captured, tally.reported, tally.counted];
    ensure!(counts == [tally.complaints.total(); 4], "the counts differ: {tally}");
    Ok(tally)
}

/// Races until nginx has logged enough errors of each kind; returns its ends of the connections that were lost.
fn provoke(net: &Network, nginx: &Nginx) -> Result<Vec<SocketAddr>> {
    let listener = listen(net, &net.server, 16)?;
    let mut raced = Vec::new();
    while raced.len() < REQUESTS / 2 {
        let logged = nginx.complaints()?;
        if logged.total() >= ERRORS && logged.reset_by_peer.min(logged.prematurely_closed) > 0 {
            return Ok(raced);
        }
        let upstream = serve(nginx, &listener)?;
        raced.push(upstream.peer_addr()?);
        let_pass(IDLE);
        let request = if raced.len().is_multiple_of(2) {
            close_unread(nginx, upstream)?
        } else {
            close_in_flight(net, nginx, upstream)?
        };
        ensure!(status(request)? == 502, "nginx hides the race");
    }
    bail!("nginx has not logged {ERRORS} errors, with some of each kind, after {REQUESTS} requests")
}

/// One request passes, and nginx keeps the connection.
fn serve(nginx: &Nginx, listener: &TcpListener) -> Result<TcpStream> {
    let request = nginx.request()?;
    let mut upstream = accept(listener)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        upstream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    upstream.write_all(RESPONSE)?;
    ensure!(status(request)? == 200, "nginx does not pass the response on");
    Ok(upstream)
}

/// Scenario unread-close: a busy upstream gets the next request and closes before it has read it.
fn close_unread(nginx: &Nginx, upstream: TcpStream) -> Result<Session> {
    let request = nginx.request()?;
    upstream.peek(&mut [0]).context("nginx does not use the connection again")?;
    drop(upstream);
    Ok(request)
}

/// Scenario race-fin-in-flight: the upstream's FIN is on the wire when the next request leaves.
fn close_in_flight(net: &Network, nginx: &Nginx, upstream: TcpStream) -> Result<Session> {
    let (local, remote) = (net.server_endpoint(), upstream.peer_addr()?);
    let kernel = Diag::open(&net.server)?;
    net.hold_packets_to_client()?;
    drop(upstream);
    until("the upstream's FIN", || {
        Ok(kernel.socket(local, remote)?.filter(|socket| socket.state == State::FinWait1))
    })?;
    let request = nginx.request()?;
    until("the request to be reset", || Ok(kernel.socket(local, remote)?.is_none().then_some(())))?;
    net.release_packets_to_client()?;
    Ok(request)
}

/// The status of nginx's answer to a request.
fn status(mut request: Session) -> Result<u16> {
    Ok(request.head().context("nginx does not answer")?.status)
}

/// The tracer reported of this connection what the wire shows, once.
fn agree(resets: &[Reset], segments: &[Segment], client: SocketAddr, server: SocketAddr) -> Result<()> {
    let reported: Vec<&Reset> = resets.iter().filter(|reset| reset.local == client).collect();
    let [reset] = reported.as_slice() else {
        bail!("the tracer tells {} times of the reset of {client}", reported.len());
    };
    let said = describe(reset);
    ensure!((reset.remote, reset.server) == (server, Some(server)), "not the upstream's: {said}");
    ensure!(
        (reset.direction.as_deref(), reset.role.as_str()) == (Some("received"), "client"),
        "wrong way: {said}"
    );
    ensure!(reset.cause == "keepalive_race", "not called a race: {said}");
    let wire = weigh(segments, client, server);
    ensure!(reset.race.as_deref() == wire.race, "the wire says {}: {said}", describe_wire(&wire));
    Ok(())
}

/// Connections with a RST from the server.
fn reset_connections(segments: &[Segment], server: SocketAddr) -> usize {
    let resets = segments.iter().filter(|segment| segment.has(RST) && segment.source == server);
    resets.map(|segment| segment.destination).collect::<HashSet<_>>().len()
}

/// `tracer_resets_received_total` of clients of `server` that lost a keep-alive race.
fn races_received(metrics: &str, server: SocketAddr) -> usize {
    let labels =
        [r#"role="client""#.to_owned(), format!(r#"server="{server}""#), r#"cause="keepalive_race""#.into()];
    let series = metrics
        .lines()
        .filter(|line| line.starts_with("tracer_resets_received_total{"))
        .filter(|line| labels.iter().all(|label| line.contains(label)));
    series.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok()).sum()
}
