//! What a tracer with `--request-lines` makes of payload from well-behaved and hostile clients, sent for real.

use std::io::{IoSlice, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::fcntl::{SpliceFFlags, splice};
use tempfile::TempDir;

use crate::oracle::request_line::RequestLine;
use crate::testbed::capture::{Capture, Segment};
use crate::testbed::daemon::DaemonUnderTest;
use crate::testbed::network::{Family, Network, own_port};
use crate::testbed::raw::Raw;
use crate::testbed::reset::Reset;
use crate::testbed::scrape::Scrape;
use crate::testbed::sockets::{connect, listen};
use crate::testbed::wait::let_pass;
use crate::traffic::ends::is_reset;

/// How payload gets to the kernel.
#[derive(Clone, Copy)]
enum Way {
    /// In one piece.
    Write,
    /// In pieces of this many bytes, in one call.
    Scatter(usize),
    /// In such pieces, each with a call of its own.
    Dribble(usize),
    /// Through a pipe, so that the kernel gets pages, not memory of the process.
    Splice,
}

/// The next request on a connection that the server has closed, and what both ends must say of it: method and path, or
/// `-`.
struct Row {
    payload: Vec<u8>,
    way: Way,
    server: &'static str,
    client: &'static str,
}

fn row(payload: &[u8], way: Way, server: &'static str, client: &'static str) -> Row {
    Row { payload: payload.to_vec(), way, server, client }
}

fn rows() -> Vec<Row> {
    use Way::{Dribble, Scatter, Splice, Write};
    const SIMPLE: &[u8] = b"GET /simple?q=secret HTTP/1.1\r\nHost: a\r\n\r\n";
    const CUT: &str = "GET /xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(8000));
    vec![
        row(SIMPLE, Write, "GET /simple", "GET /simple"),
        row(b"PROPFIND /dav HTTP/1.1\r\n\r\n", Write, "other /dav", "other /dav"),
        row(b"CONNECT a:443 HTTP/1.1\r\n\r\n", Write, "CONNECT -", "CONNECT -"),
        row(b"GET http://u:secret@a/b HTTP/1.1\r\n\r\n", Write, "GET -", "GET -"),
        row(long.as_bytes(), Write, CUT, CUT),
        // Escapes are for the eye; the tracer's JSON holds one backslash.
        row(b"GET /\x1b[31m\x07 HTTP/1.1\r\n\r\n", Write, r"GET /\u{1b}[31m\u{7}", r"GET /\u{1b}[31m\u{7}"),
        row(b"GET /\xff\xc3 HTTP/1.1\r\n\r\n", Write, r"GET /\xff\xc3", r"GET /\xff\xc3"),
        row(b"GET /a\r\nb HTTP/1.1\r\n\r\n", Write, "-", "-"),
        row(b"GET /a\0 HTTP/1.1\r\n\r\n", Write, "-", "-"),
        row(&[b'A'; 8192].repeat(8), Write, "-", "-"),
        row(&[0; 512], Write, "-", "-"),
        row(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Write, "-", "-"),
        row(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Write, "-", "-"),
        row(b"HTTP/1.1 200 OK\r\n\r\n", Write, "-", "-"),
        row(b"G", Write, "-", "-"),
        // The kernel joins the pieces before it sends them, and the first segment has them all.
        row(SIMPLE, Scatter(7), "GET /simple", "GET /simple"),
        row(SIMPLE, Splice, "GET /simple", "GET /simple"),
        // Each piece is a segment, and the first of them is all that there is of the request.
        row(SIMPLE, Dribble(7), "-", "-"),
    ]
}

/// Every row on a connection of its own; the captures must show that it was sent, and by whom it was reset.
pub fn friends_and_foes_are_told_apart(family: Family) -> Result<()> {
    let net = Network::build_for_port(family, own_port()?)?;
    let directory = TempDir::new().context("no temporary directory for the captures")?;
    let capture = Capture::start(&net.client, directory.path().join("client.pcap"))?;
    let tracer = DaemonUnderTest::start_for_lab(&["--request-lines"])?;
    let listener = listen(&net, &net.server, 16)?;
    let rows = rows();
    let clients = rows.iter().map(|row| reset(&net, &listener, row)).collect::<Result<Vec<_>>>()?;

    let netns = [net.server.inum(), net.client.inum()];
    let resets = tracer.lines.resets(&netns, 2 * rows.len());
    let segments = capture.finish_complete(net.nowhere())?;
    for (row, client) in rows.iter().zip(clients) {
        let sent = row.payload.escape_ascii().to_string();
        let sent = sent.get(..60).unwrap_or(&sent);
        ensure!(was_sent(&segments, client, &row.payload), "the wire does not show {sent}");
        for (who, expected, reported) in [
            (
                "server",
                row.server,
                reported(&resets, |reset| {
                    reset.direction.as_deref() == Some("sent") && reset.remote == client
                }),
            ),
            (
                "client",
                row.client,
                reported(&resets, |reset| {
                    reset.direction.as_deref() == Some("received") && reset.local == client
                }),
            ),
        ] {
            let reported = reported.with_context(|| format!("the {who} says nothing of {sent}"))?;
            ensure!(reported == expected, "{sent}: the {who} says {reported:?}, not {expected:?}");
        }
    }
    methods_are_counted(&Scrape(tracer.metrics()?), net.server_endpoint(), &resets)?;
    tracer.stop()
}

/// A late segment of a connection that nobody knows, in a packet's own memory.
pub fn a_packet_of_its_own_is_read(family: Family) -> Result<()> {
    let net = Network::build(family)?;
    let tracer = DaemonUnderTest::start_with(&["--request-lines"])?;
    let client = SocketAddr::new(net.client_address().ip(), 40_001);
    Raw { host: &net.client, from: client, to: net.server_endpoint(), sequence: 1 }
        .payload(0, b"PUT /late?x HTTP/1.1\r\n\r\n")?;
    let resets = tracer.lines.resets(&[net.server.inum()], 1);
    let reported = reported(&resets, |reset| reset.remote == client).context("nothing is said")?;
    ensure!(reported == "PUT /late", "{reported}");
    tracer.stop()
}

/// What was sent before the tracer looked is found as long as it is not acknowledged.
pub fn what_was_sent_before_the_tracer_started_is_found(family: Family) -> Result<()> {
    let net = Network::build(family)?;
    let listener = listen(&net, &net.server, 16)?;
    let (mut client, mut server) = connect(&net, &listener, net.server_endpoint())?;
    exchange(&mut client, &mut server)?;
    net.lose_packets_to_server()?;
    client.write_all(b"PATCH /before HTTP/1.1\r\n\r\n")?;
    // Where memory is it learns of the first connection that is made, which is ours to it.
    let tracer = DaemonUnderTest::start_with(&["--request-lines"])?;
    // The request is sent again, and another host knows nothing of it.
    net.fail_over()?;
    is_reset(&client)?;
    let resets = tracer.lines.resets(&[net.client.inum()], 1);
    let reported = reported(&resets, |reset| reset.direction.as_deref() == Some("received"))
        .context("nothing is said")?;
    ensure!(reported == "PATCH /before", "{reported}");
    tracer.stop()
}

/// Without the flag there is no probe, no payload is looked at, and nothing is said.
pub fn without_the_flag_nothing_is_read(family: Family) -> Result<()> {
    let net = Network::build(family)?;
    let tracer = DaemonUnderTest::start()?;
    let listener = listen(&net, &net.server, 16)?;
    let client = reset(&net, &listener, &rows()[0])?;
    let resets = tracer.lines.resets(&[net.server.inum(), net.client.inum()], 2);
    ensure!(resets.len() == 2, "not two lines: {resets:?}");
    ensure!(
        resets.iter().all(|reset| reset.method.is_none() && reset.path.is_none()),
        "{client}: {resets:?}"
    );
    let metrics = tracer.metrics()?;
    ensure!(!metrics.contains("tracer_reset_requests_total"), "requests are counted");
    ensure!(!metrics.contains("tcp_sendmsg_locked"), "the probe is attached");
    tracer.stop()
}

/// An exchange; then the server closes, and the client sends the row's payload all the same.
fn reset(net: &Network, listener: &TcpListener, row: &Row) -> Result<SocketAddr> {
    let (mut client, mut server) = connect(net, listener, net.server_endpoint())?;
    let endpoint = client.local_addr()?;
    exchange(&mut client, &mut server)?;
    // Right behind the response it could pass for more of that request.
    let_pass(REST);
    drop(server);
    ensure!(client.peek(&mut [0])? == 0, "the server does not close");
    // The RST may arrive before all of it is written.
    if send(&mut client, row).is_ok() {
        is_reset(&client)?;
    }
    Ok(endpoint)
}

/// Longer than what counts as idle.
const REST: Duration = Duration::from_millis(60);

fn exchange(client: &mut TcpStream, server: &mut TcpStream) -> Result<()> {
    use std::io::Read as _;
    const REQUEST: &[u8] = b"POST /earlier HTTP/1.1\r\n\r\n";
    client.write_all(REQUEST)?;
    server.read_exact(&mut [0; REQUEST.len()])?;
    server.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
    Ok(client.read_exact(&mut [0; 27])?)
}

fn send(client: &mut TcpStream, row: &Row) -> Result<()> {
    match row.way {
        Way::Write => client.write_all(&row.payload)?,
        Way::Scatter(bytes) => {
            let pieces: Vec<_> = row.payload.chunks(bytes).map(IoSlice::new).collect();
            ensure!(client.write_vectored(&pieces)? == row.payload.len(), "not all of it was taken");
        }
        Way::Dribble(bytes) => row.payload.chunks(bytes).try_for_each(|piece| client.write_all(piece))?,
        Way::Splice => {
            let (reader, mut writer) = std::io::pipe()?;
            writer.write_all(&row.payload)?;
            splice(&reader, None, &*client, None, row.payload.len(), SpliceFFlags::empty())?;
        }
    }
    Ok(())
}

/// The first payload after the server's FIN is how the row's payload begins.
fn was_sent(segments: &[Segment], client: SocketAddr, payload: &[u8]) -> bool {
    let mut of_client = segments.iter().filter(|segment| segment.source == client && segment.payload > 0);
    of_client.nth(1).is_some_and(|segment| payload.starts_with(&segment.begin))
}

/// What the only line that fits says of the request.
fn reported(resets: &[Reset], fits: impl Fn(&Reset) -> bool) -> Option<String> {
    let [reset] = resets.iter().filter(|reset| fits(reset)).collect::<Vec<_>>()[..] else { return None };
    Some(
        RequestLine::reported(reset).map_or("-".to_owned(), |line| {
            format!("{} {}", line.method, line.path.as_deref().unwrap_or("-"))
        }),
    )
}

/// The metric says what the lines say.
fn methods_are_counted(scrape: &Scrape, server: SocketAddr, resets: &[Reset]) -> Result<()> {
    for method in ["GET", "CONNECT", "other"] {
        for (direction, role) in [("sent", "server"), ("received", "client")] {
            let reported = |reset: &&Reset| {
                reset.cause == "keepalive_race"
                    && reset.direction.as_deref() == Some(direction)
                    && reset.method.as_deref() == Some(method)
            };
            let lines = resets.iter().filter(reported).count();
            let labels = format!(
                "cause=\"keepalive_race\",direction=\"{direction}\",method=\"{method}\",role=\"{role}\",server=\"{server}\""
            );
            let counted = scrape.value(&format!("tracer_reset_requests_total{{{labels}}}"))?;
            ensure!(counted == lines as u64, "{labels}: {counted} are counted, {lines} are reported");
        }
    }
    Ok(())
}
