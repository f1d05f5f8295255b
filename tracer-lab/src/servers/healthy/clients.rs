//! The clients: each kind on a thread of its own, again and again.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::servers::healthy::topology::{Addresses, CLIENTS_KEEP, SLOW};
use crate::testbed::wait::let_pass;
use crate::traffic::session::Session;

/// Between two connections of one client, on average.
const PAUSE: Duration = Duration::from_millis(300);
/// How long an impatient client waits for an answer.
const IMPATIENCE: Duration = Duration::from_millis(300);

/// A kind of client: what it does with one connection to a server, counting its requests.
type Client = fn(SocketAddr, &Count) -> io::Result<()>;

const CLIENTS: [(&str, Client); 14] = [
    ("pooled, closes when idle", pooled),
    ("the same", pooled),
    ("pooled, closes earlier", hurried),
    ("the same", hurried),
    ("one request", |server, count| ask(server, count, "GET /small HTTP/1.1\r\nHost: lab", b"")),
    ("Connection: close", |server, count| {
        ask(server, count, "GET /small HTTP/1.1\r\nHost: lab\r\nConnection: close", b"")
    }),
    ("HTTP/1.0", |server, count| ask(server, count, "GET /small HTTP/1.0", b"")),
    ("download", |server, count| ask(server, count, "GET /large HTTP/1.1\r\nHost: lab", b"")),
    ("upload", |server, count| {
        ask(server, count, "POST /upload HTTP/1.1\r\nHost: lab\r\nContent-Length: 300000", &[b'.'; 300_000])
    }),
    ("slow answer", slow),
    ("gives up", impatient),
    ("aborts a download", aborting),
    ("connects and closes", |server, _| Session::open(server).map(drop)),
    ("connects and resets", |server, _| Session::open(server)?.reset()),
];

/// What one kind of client did.
#[derive(Debug, Default)]
pub(crate) struct Count {
    connections: AtomicU64,
    requests: AtomicU64,
    /// Connections that failed, as they do while a server is restarted.
    failed: AtomicU64,
}

/// What every kind of client did.
#[derive(Debug, Default)]
pub(crate) struct Tally([Count; CLIENTS.len()]);

/// Lets every kind of client talk to every server until it is `over`. They are on the host of the calling thread.
pub(crate) fn run(addresses: Addresses, tally: &Tally, over: &AtomicBool) {
    let Addresses { node, pages, proxy } = addresses;
    thread::scope(|scope| {
        for ((_, client), count) in CLIENTS.iter().zip(&tally.0) {
            for server in [node, pages, proxy] {
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        count.connections.fetch_add(1, Ordering::Relaxed);
                        if client(server, count).is_err() {
                            count.failed.fetch_add(1, Ordering::Relaxed);
                        }
                        let_pass(PAUSE.mul_f64(2.0 * fastrand::f64()));
                    }
                });
            }
        }
    });
}

/// Opens a connection, asks, and closes.
fn ask(server: SocketAddr, count: &Count, request: &str, body: &[u8]) -> io::Result<()> {
    Session::open(server)?.ask(request, body)?;
    count.requests.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Some requests, and after the last one it keeps the connection as long as it ever does.
fn pooled(server: SocketAddr, count: &Count) -> io::Result<()> {
    if let Some(_session) = some_requests(server, count)? {
        let_pass(CLIENTS_KEEP);
    }
    Ok(())
}

/// The same, but it ends soon after its last request.
fn hurried(server: SocketAddr, count: &Count) -> io::Result<()> {
    if let Some(_session) = some_requests(server, count)? {
        let_pass(CLIENTS_KEEP.mul_f64(fastrand::f64()));
    }
    Ok(())
}

/// Up to 30 requests with pauses, unless the server ends the connection before, as at a reload.
fn some_requests(server: SocketAddr, count: &Count) -> io::Result<Option<Session>> {
    const PATHS: [&str; 3] = ["/small", "/pages/small", "/pages/missing"];
    let mut session = Session::open(server)?;
    let began = Instant::now();
    for left in (0..fastrand::u32(1..=30)).rev() {
        let path = PATHS[fastrand::usize(..PATHS.len())];
        let keeps = session.ask(&format!("GET {path} HTTP/1.1\r\nHost: lab"), b"")?;
        count.requests.fetch_add(1, Ordering::Relaxed);
        if !keeps {
            return Ok(None);
        }
        if left == 0 || began.elapsed() > SLOW {
            break;
        }
        // Mostly short, now and then nearly as long as a client may pause.
        let_pass(CLIENTS_KEEP.mul_f64(fastrand::f64().powi(4)));
        if !session.is_open()? {
            return Ok(None);
        }
    }
    Ok(Some(session))
}

/// A request that takes longer than anybody keeps an idle connection, and another one.
fn slow(server: SocketAddr, count: &Count) -> io::Result<()> {
    let mut session = Session::open(server)?;
    for path in ["/slow", "/small"] {
        session.ask(&format!("GET {path} HTTP/1.1\r\nHost: lab"), b"")?;
        count.requests.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Closes before there is an answer.
fn impatient(server: SocketAddr, _: &Count) -> io::Result<()> {
    let mut session = Session::open(server)?;
    session.send("GET /slow HTTP/1.1\r\nHost: lab", b"")?;
    let_pass(IMPATIENCE);
    Ok(())
}

/// Closes in the middle of an answer.
fn aborting(server: SocketAddr, _: &Count) -> io::Result<()> {
    let mut session = Session::open(server)?;
    session.send("GET /large HTTP/1.1\r\nHost: lab", b"")?;
    session.head().map(drop)
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sum = [0; 3];
        writeln!(out, "{:<26} {:>11} {:>9} {:>7}", "clients", "connections", "requests", "failed")?;
        for ((name, _), count) in CLIENTS.iter().zip(&self.0) {
            let counts = [&count.connections, &count.requests, &count.failed]
                .map(|count| count.load(Ordering::Relaxed));
            sum = [0, 1, 2].map(|column| sum[column] + counts[column]);
            writeln!(out, "{name:<26} {:>11} {:>9} {:>7}", counts[0], counts[1], counts[2])?;
        }
        writeln!(out, "{:<26} {:>11} {:>9} {:>7}", "all", sum[0], sum[1], sum[2])
    }
}
