//! Connections of real software that end as they should, in ways that look like failures: an idle TLS connection, a
//! last word, a half-close that is answered, a probe. None of them is a failure.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::thread::ScopedJoinHandle;
use std::time::Duration;
use std::{fmt, thread};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::Value;

use crate::servers::databases;
use crate::servers::endpoint;
use crate::servers::failures::HARMLESS;
use crate::testbed::certificates;
use crate::testbed::checkpoint::now_ns;
use crate::testbed::daemon::DaemonUnderTest;
use crate::testbed::network::Network;
use crate::testbed::nginx;
use crate::testbed::process::{Process, bounded};
use crate::testbed::reset::Reset;
use crate::testbed::server::ServerProgram;
use crate::testbed::wait::let_pass;

/// The tracer holds an incident for 100 ms; the machine may be busy.
const SETTLES: Duration = Duration::from_millis(1_500);
/// Longer than any connection idles, in seconds.
const NEVER: u32 = 3_600;
const JAVASCRIPT: &str = include_str!("programs/shapes.js");
const PYTHON: &str = include_str!("programs/shapes.py");

/// A server and its clients.
struct Shape {
    name: &'static str,
    /// Whether its software is here for other tests anyhow.
    small: bool,
    server: fn(&Place) -> Result<String>,
    check: Check,
    /// Each an interpreter and a name that its script knows.
    clients: &'static [(Script, &'static str)],
}

/// How a balancer looks whether a server is there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Check {
    Port,
    Http,
    Https,
    /// In the server's own protocol, as this option has it.
    Says(&'static str),
}

#[derive(Clone, Copy)]
enum Script {
    Node,
    Python,
}

use Script::{Node, Python};

/// Where a server serves and has its files.
struct Place<'a> {
    server: SocketAddr,
    directory: &'a Path,
}

const fn small(
    name: &'static str,
    server: fn(&Place) -> Result<String>,
    clients: &'static [(Script, &'static str)],
) -> Shape {
    Shape { name, small: true, server, check: Check::Port, clients }
}

impl Shape {
    /// A balancer asks the server for a page, too.
    const fn checked(self, check: Check) -> Self {
        Self { check, ..self }
    }
}

const TLS_CLIENTS: &[(Script, &str)] =
    &[(Node, "https"), (Node, "https-pooled"), (Python, "tls"), (Python, "tls-probe"), (Python, "s_client")];
const SHAPES: &[Shape] = &[
    small("Node https", |place| place.serve(Node, "https"), TLS_CLIENTS).checked(Check::Https),
    small("nginx https", nginx_tls, TLS_CLIENTS).checked(Check::Https),
    small("Node HTTP/2", |place| place.serve(Node, "http2"), &[(Node, "http2"), (Node, "http2")]),
    small("nginx HTTP/2", nginx_tls, &[(Node, "http2"), (Node, "http2")]),
    small("WebSocket", |place| place.serve(Node, "websocket"), &[(Node, "websocket"), (Node, "websocket")])
        .checked(Check::Http),
    small("server-sent events", |place| place.serve(Node, "events"), &[(Node, "events"), (Node, "events")]),
    small("happy eyeballs", |place| place.serve(Node, "http"), &[(Python, "loser"), (Node, "http")])
        .checked(Check::Http),
    small("probes of HTTP", |place| place.serve(Node, "http"), &[(Python, "probe"), (Node, "http")])
        .checked(Check::Http),
    small("log shipping", |place| place.serve(Python, "logs"), &[(Python, "logs"), (Python, "logs")]),
    small("answered half-close", |place| place.serve(Python, "half"), &[(Python, "half")]),
    small("mail, QUIT", |place| place.serve(Python, "mail"), &[(Python, "mail"), (Python, "probe")])
        .checked(Check::Says("smtpchk")),
    Shape {
        name: "Redis pool",
        small: false,
        check: Check::Says("redis-check"),
        server: |place| databases::redis(place.server, place.directory, 2),
        clients: &[(Python, "redis"), (Python, "redis-idle"), (Python, "redis")],
    },
    Shape {
        name: "PostgreSQL pool",
        small: false,
        check: Check::Says("pgsql-check user postgres"),
        server: |place| databases::postgres(place.server, place.directory, NEVER),
        clients: &[(Python, "postgres"), (Python, "postgres"), (Python, "probe")],
    },
    Shape {
        name: "MariaDB pool",
        small: false,
        check: Check::Says("mysql-check user root"),
        server: |place| databases::mariadb(place.server, place.directory, NEVER),
        clients: &[(Python, "mysql"), (Python, "mysql"), (Python, "probe")],
    },
];

/// What came of one.
pub(crate) struct Outcome {
    name: &'static str,
    pub(crate) server: SocketAddr,
    pub(crate) connections: usize,
    /// All that the tracer told.
    incidents: usize,
    /// Those of which it could not say what they were: behind TLS, a last word looks like a request.
    unknown: usize,
    pub(crate) wrong: Vec<String>,
}

/// Lets all shapes go on for `time` and says what the tracer said of each, and until when on the clock of its records;
/// `fast` leaves out software that is large.
pub(crate) fn run(
    tracer: &DaemonUnderTest,
    net: &Network,
    directory: &Path,
    fast: bool,
    time: Duration,
) -> Result<(Vec<Outcome>, u64)> {
    fs::write(directory.join("shapes.js"), JAVASCRIPT)?;
    fs::write(directory.join("shapes.py"), PYTHON)?;
    certificates::self_signed(directory)?;
    let shapes = SHAPES.iter().filter(|shape| shape.small || !fast);
    let servers: Vec<_> = shapes
        .map(|shape| {
            let server = endpoint(net);
            let own = directory.join(server.port().to_string());
            fs::create_dir(&own)?;
            let line = (shape.server)(&Place { server, directory: &own })?;
            let words: Vec<_> = line.split(' ').collect();
            let program = ServerProgram::start(&net.server, server, &words, &own)?;
            Ok((shape, server, program))
        })
        .collect::<Result<_>>()
        .context("a server of healthy traffic")?;
    // It ends last: a check that is under way then is a client that gave up, and rightly told.
    let _checks = balancer(net, servers.iter().map(|(shape, server, _)| (shape.check, *server)), directory)?;
    let outcomes = thread::scope(|scope| {
        let started: Vec<_> = servers
            .iter()
            .map(|(shape, server, _)| {
                let client = |(number, (script, name)): (usize, &(Script, &str))| {
                    let log = directory.join(format!("{}.client-{number}", server.port()));
                    let words = script.words(directory, "ask", name, *server);
                    scope.spawn(move || net.client.enter(|| ask(&words, time, &log)))
                };
                shape.clients.iter().enumerate().map(client).collect::<Vec<_>>()
            })
            .collect();
        started.into_iter().map(connections).collect::<Vec<_>>()
    });
    let_pass(SETTLES);
    let advice = tracer.json("/api/v1/advice")?;
    let said = tracer.lines.about(&[net.server.inum(), net.client.inum()]);
    let judged = servers.iter().zip(outcomes).map(|((shape, server, _), connections)| {
        let mut wrong = Vec::new();
        let connections = connections.unwrap_or_else(|error| {
            wrong.push(format!("{error:#}"));
            0
        });
        let about: Vec<_> = said.iter().filter(|one| one.server == Some(*server)).collect();
        let (unknown, told): (Vec<&Reset>, Vec<&Reset>) =
            about.iter().copied().partition(|one| one.cause == "unknown");
        let failures = told.iter().filter(|one| !HARMLESS.contains(&one.cause.as_str()));
        wrong.extend(failures.map(|one| format!("a failure that no application saw: {one:?}")));
        wrong.extend(warnings(&advice, *server));
        let (incidents, unknown) = (about.len(), unknown.len());
        Outcome { name: shape.name, server: *server, connections, incidents, unknown, wrong }
    });
    Ok((judged.collect(), now_ns()?))
}

fn connections(clients: Vec<ScopedJoinHandle<'_, Result<usize>>>) -> Result<usize> {
    let each = clients.into_iter().map(|client| client.join().map_err(|_| anyhow!("a client panicked"))?);
    each.sum()
}

fn warnings(advice: &Value, server: SocketAddr) -> Vec<String> {
    let about = |one: &&Value| one["server"] == *server.to_string() && one["severity"] == "warning";
    advice.as_array().into_iter().flatten().filter(about).map(ToString::to_string).collect()
}

/// Runs a client to its end, which must be a good one; returns how many connections it made.
fn ask(words: &[String], time: Duration, log: &Path) -> Result<usize> {
    let mut command = bounded(&words[0], u32::try_from(time.as_secs())? + 60);
    command.args(&words[1..]).arg(time.as_secs_f64().to_string()).stdin(Stdio::null());
    command.stdout(File::create(log)?).stderr(File::options().append(true).open(log)?);
    let mut client = Process::start(&mut command)?;
    let ended = client.wait_for(time + Duration::from_mins(1))?;
    let said = fs::read_to_string(log)?;
    ensure!(ended.is_some_and(|status| status.success()), "`{}` failed: {}", words.join(" "), said.trim());
    said.trim().parse().with_context(|| format!("not a number: {said}"))
}

impl Script {
    fn words(self, directory: &Path, side: &str, name: &str, server: SocketAddr) -> Vec<String> {
        let (interpreter, file) = match self {
            Node => ("node", "shapes.js"),
            Python => ("/usr/bin/python3", "shapes.py"),
        };
        let (script, files) = (directory.join(file), directory.display());
        let line = format!(
            "{interpreter} {} {side} {name} {} {} {files}",
            script.display(),
            server.ip(),
            server.port()
        );
        line.split(' ').map(str::to_owned).collect()
    }
}

impl Place<'_> {
    /// What all servers share: scripts, and a certificate.
    fn shared(&self) -> &Path {
        self.directory.parent().unwrap_or(self.directory)
    }

    #[expect(clippy::unnecessary_wraps, reason = "as the other servers'")]
    fn serve(&self, script: Script, name: &str) -> Result<String> {
        Ok(script.words(self.shared(), "serve", name, self.server).join(" "))
    }
}

fn nginx_tls(place: &Place) -> Result<String> {
    let files = place.shared().display();
    let server = format!(
        "server {{ listen {} ssl http2; ssl_certificate {files}/cert.pem; ssl_certificate_key {files}/cert.pem.key;
keepalive_timeout 1s; location / {{ return 200 ok; }} }}",
        place.server
    );
    Ok(nginx::configure(place.directory, "nginx", &server)?.join(" "))
}

/// `HAProxy` that looks whether these servers are there: each one's port, and what each speaks.
fn balancer(
    net: &Network,
    servers: impl Iterator<Item = (Check, SocketAddr)>,
    directory: &Path,
) -> Result<ServerProgram> {
    use std::fmt::Write as _;
    const TLS: &str = " check-ssl verify none";
    let own = SocketAddr::new(net.client_address().ip(), endpoint(net).port());
    let mut text = format!(
        "defaults
    timeout connect 1s
    timeout client 1s
    timeout server 1s
frontend lab
    mode http
    bind {own}
"
    );
    for (number, (check, server)) in servers.enumerate() {
        let _ = writeln!(text, "backend tcp{number}\n    mode tcp\n    server s {server} check inter 500ms");
        let (mode, option, tls) = match check {
            Check::Port => continue,
            Check::Http => ("http", "httpchk GET /", ""),
            Check::Https => ("http", "httpchk GET /", TLS),
            Check::Says(option) => ("tcp", option, ""),
        };
        let _ = writeln!(
            text,
            "backend own{number}\n    mode {mode}\n    option {option}\n    server s {server} check inter 700ms{tls}"
        );
        if check == Check::Https {
            let _ = writeln!(
                text,
                "backend tls{number}\n    mode tcp\n    server s {server} check inter 600ms{TLS}"
            );
        }
    }
    let file = directory.join("balancer.conf");
    fs::write(&file, text)?;
    let words = ["haproxy", "-db", "-f", &file.display().to_string()].map(str::to_owned);
    ServerProgram::start(&net.client, own, &words, directory).context("HAProxy (Debian package haproxy)")
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "{:<26} {:>11} connections, {} incidents, {} of them unknown, {} wrong",
            self.name,
            self.connections,
            self.incidents,
            self.unknown,
            self.wrong.len()
        )?;
        self.wrong.iter().take(3).try_for_each(|wrong| writeln!(out, "WRONG {wrong}"))
    }
}
