//! Clients that mean no good: each is gone within 10 s, and meanwhile nobody else waits.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use socket2::{Domain, Socket, Type};
use tracer_lab::testbed::certificates::{Certificates, web_configuration};
use tracer_lab::testbed::http::get;
use tracer_lab::testbed::wait::{let_pass, until};

use crate::labels::idle_closes;
use crate::network::Network;
use crate::turn;
use crate::web::Protected;
use tracer_lab::testbed::daemon::{DaemonUnderTest, command};
use tracer_lab::testbed::lines::Lines;

/// No client is served for longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// For everybody else, whatever such clients do. A reset is held for 100 ms before it is reported.
const PROMPT: Duration = Duration::from_secs(2);
/// How often a client that drips does so.
const DRIP: Duration = Duration::from_secs(1);

/// Enough for series and resets that make long answers.
const SERVERS: u16 = 400;
/// Of which so many are there at the same time.
const AT_ONCE: usize = 200;

/// What a client does after its first words.
#[derive(Clone, Copy)]
enum Then {
    /// Waits, reading nothing.
    Waits,
    /// Sends this byte, again and again.
    Sends(u8),
    /// Reads a byte, again and again.
    Reads,
}

const METRICS: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
const RESETS: &[u8] = b"GET /api/v1/resets?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Clients whose requests are no good: what each does, what it says first, what then.
const REQUESTS: [(&str, &[u8], Then); 9] = [
    ("says nothing", b"", Then::Waits),
    ("sends garbage", b"\x00\xff\xfe\x01\r\n\r\n\x80\x81", Then::Waits),
    ("sends garbage without a line", &[0xff; 40_000], Then::Waits),
    ("speaks TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Then::Waits),
    ("speaks HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Then::Waits),
    ("sends half a header", b"GET /metrics HTTP/1.1\r\nHost: trac", Then::Waits),
    ("sends a header byte by byte", b"GET /metrics HTTP/1.1\r\nX: ", Then::Sends(b'x')),
    ("announces a body", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n", Then::Waits),
    (
        "sends a body byte by byte",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n",
        Then::Sends(b'x'),
    ),
];

/// Clients that ask for a long answer and do not take it.
const READERS: [(&str, &[u8], Then); 3] = [
    ("never reads the metrics", METRICS, Then::Waits),
    ("never reads the resets", RESETS, Then::Waits),
    ("reads the metrics byte by byte", METRICS, Then::Reads),
];

#[test]
fn a_client_that_takes_too_long_is_closed_and_holds_nobody_up() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    let mut daemon = DaemonUnderTest::of(command(&[], &["--events", "json"]))?;
    let network = Network::new()?;
    let lines = daemon.read_lines()?;
    // Every server has series of its own: answers that no small buffer takes.
    let servers: Vec<_> = (0..SERVERS).map(|index| network.server(index)).collect();
    servers.chunks(AT_ONCE).try_for_each(|some| idle_closes(&network, some))?;
    network.refuse(0..SERVERS)?;
    until("long answers", || {
        let long = |path| Ok::<_, anyhow::Error>(get(daemon.port, path)?.body.len() > 150_000);
        Ok((long("/metrics")? && long("/api/v1/resets?limit=1000")?).then_some(()))
    })?;

    let began = Instant::now();
    thread::scope(|scope| {
        let daemon = &daemon;
        let run =
            |(what, says, then)| (what, scope.spawn(move || Client::connect(daemon.port)?.run(says, then)));
        let clients = [&REQUESTS[..], &READERS].concat().into_iter().map(run).collect::<Vec<_>>();
        let mut next = SERVERS;
        while clients.iter().any(|(_, client)| !client.is_finished()) {
            check_others(daemon, &network, &lines, next)?;
            next += 1;
        }
        for (what, client) in clients {
            let run = client.join().map_err(|_| anyhow!("a client that {what} panicked"))?;
            let answer_was_cut = run.with_context(|| format!("a client that {what}"))?;
            let reader = READERS.iter().any(|(reader, ..)| *reader == what);
            ensure!(answer_was_cut || !reader, "a client that {what} got everything");
        }
        Ok(())
    })?;
    ensure!(began.elapsed() < PATIENCE + PROMPT, "all of it took {:?}", began.elapsed());
    Ok(())
}

/// Clients that never come to an end with a handshake.
const HANDSHAKES: [(&str, &[u8], Then); 6] = [
    ("says nothing", b"", Then::Waits),
    ("speaks HTTP", METRICS, Then::Waits),
    ("sends half a ClientHello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Then::Waits),
    ("sends a ClientHello byte by byte", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Then::Sends(0)),
    ("announces a ClientHello of 16 MiB", b"\x16\x03\x01\x40\x00\x01\xff\xff\xff\x03\x03", Then::Sends(0)),
    ("sends an alert again and again", b"\x15\x03\x03\x00\x02\x01\x5a", Then::Sends(0x15)),
];

#[test]
fn a_handshake_that_takes_too_long_is_closed_and_holds_nobody_up() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    let files = Certificates::of(&["server", "client"])?;
    let protected = Protected::of(&files, &web_configuration("anna"))?;
    let scrape = || {
        let began = Instant::now();
        let client = "--cert client.pem --key client.key -u anna:password";
        ensure!(protected.curl(&files.file("ca.pem"), client)? == Some(200));
        ensure!(began.elapsed() < PROMPT, "a scrape took {:?}", began.elapsed());
        Ok(())
    };
    let port = protected.daemon.port;
    thread::scope(|scope| {
        let clients = HANDSHAKES
            .map(|(what, says, then)| (what, scope.spawn(move || Client::connect(port)?.run(says, then))));
        while clients.iter().any(|(_, client)| !client.is_finished()) {
            scrape()?;
        }
        for (what, client) in clients {
            let run = client.join().map_err(|_| anyhow!("a client that {what} panicked"))?;
            run.with_context(|| format!("a client that {what}"))?;
        }
        anyhow::Ok(())
    })?;
    let _idle = (0..200).map(|_| Client::connect(port)).collect::<Result<Vec<_>>>()?;
    scrape()
}

#[test]
fn many_idle_connections_do_not_stop_scrapes() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    let mut daemon = DaemonUnderTest::of(command(&[], &["--events", "json"]))?;
    let network = Network::new()?;
    let lines = daemon.read_lines()?;
    let idle = (0..200).map(|_| Client::connect(daemon.port)).collect::<Result<Vec<_>>>()?;
    let mut next = SERVERS;
    loop {
        check_others(&daemon, &network, &lines, next)?;
        next += 1;
        let open = open(daemon.port)?;
        let waiting = idle.iter().filter(|client| open.contains(&client.address)).count();
        if waiting == 0 {
            return Ok(());
        }
        let since = idle[0].began.elapsed();
        ensure!(since < PATIENCE + PROMPT, "{waiting} idle connections are still open after {since:?}");
    }
}

/// A scrape is answered and a reset is reported, both promptly.
fn check_others(daemon: &DaemonUnderTest, network: &Network, lines: &Lines, server: u16) -> Result<()> {
    let began = Instant::now();
    ensure!(get(daemon.port, "/metrics")?.status == 200);
    ensure!(began.elapsed() < PROMPT, "a scrape took {:?}", began.elapsed());
    let began = Instant::now();
    network.refuse(server..server + 1)?;
    until("a reset to be reported", || Ok((network.resets(lines, server).len() == 2).then_some(())))?;
    ensure!(began.elapsed() < PROMPT, "a reset was reported after {:?}", began.elapsed());
    Ok(())
}

/// A connection to the daemon, with the smallest buffers there are.
struct Client {
    stream: TcpStream,
    address: SocketAddr,
    began: Instant,
}

impl Client {
    fn connect(port: u16) -> Result<Self> {
        let began = Instant::now();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_recv_buffer_size(1)?;
        // On a loopback the server would buffer megabytes for the usual segments of 64 KiB.
        socket.set_tcp_mss(536)?;
        socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PROMPT))?;
        stream.set_write_timeout(Some(PROMPT))?;
        let address = stream.local_addr()?;
        Ok(Self { stream, address, began })
    }

    /// Runs its part until the server closes; returns whether an answer was cut short.
    fn run(mut self, says: &[u8], then: Then) -> Result<bool> {
        let server = self.stream.peer_addr()?.port();
        // The server may have closed already.
        let _ = self.stream.write_all(says);
        let mut read = Vec::new();
        while open(server)?.contains(&self.address) {
            if self.began.elapsed() >= PATIENCE {
                bail!("is still open after {:?}", self.began.elapsed());
            }
            let pause = match then {
                Then::Waits => Duration::from_millis(20),
                Then::Sends(byte) => {
                    let _ = self.stream.write_all(&[byte]);
                    DRIP
                }
                Then::Reads => {
                    let mut byte = [0];
                    let count = self.stream.read(&mut byte)?;
                    read.extend(&byte[..count]);
                    DRIP
                }
            };
            let_pass(pause);
        }
        let _ = self.stream.read_to_end(&mut read);
        let text = String::from_utf8_lossy(&read);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { return Ok(!read.is_empty()) };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        Ok(length.map(str::parse).transpose()?.is_some_and(|length: usize| body.len() < length))
    }
}

/// The clients whose connections to `port` the server has not closed.
fn open(port: u16) -> Result<Vec<SocketAddr>> {
    const ESTABLISHED: &str = "01";
    const CLOSE_WAIT: &str = "08";
    let table = fs::read_to_string("/proc/thread-self/net/tcp")?;
    let connections = table.lines().skip(1).filter_map(|line| {
        let mut columns = line.split_whitespace().skip(1);
        let (local, remote) = (endpoint(columns.next()?)?, endpoint(columns.next()?)?);
        let open = [ESTABLISHED, CLOSE_WAIT].contains(&columns.next()?);
        (local.port() == port && open).then_some(remote)
    });
    Ok(connections.collect())
}

/// `0100007F:1F40`: the address is in the byte order of the machine.
fn endpoint(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let address = Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?.to_ne_bytes());
    Some(SocketAddr::from((address, u16::from_str_radix(port, 16).ok()?)))
}
