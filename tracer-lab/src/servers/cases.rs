//! What must not be taken for a timeout, and a timeout that is changed.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::servers::client;
use crate::servers::client::Clients;
use crate::servers::plain::Plain;
use crate::servers::watch::{JUDGED_WITHIN, timeout};
use crate::servers::{TRIES, endpoint};
use crate::testbed::daemon::DaemonUnderTest;
use crate::testbed::network::{Family, Network};
use crate::testbed::nginx;
use crate::testbed::scrape::Scrape;
use crate::testbed::server::ServerProgram;
use crate::testbed::wait::{let_pass, patience, until};
use crate::traffic::session::Session;

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: lab";
/// Longer than any case takes.
const NEVER: Duration = Duration::from_mins(1);
/// Long enough for a connection to count as idle.
const IDLE: Duration = Duration::from_millis(100);
/// What closes within 100 ms counts as one moment.
const APART: Duration = Duration::from_millis(150);

/// A case.
pub struct Case {
    /// A word or two.
    pub name: &'static str,
    /// One sentence.
    pub says: &'static str,
    run: fn(&Testbed) -> Result<()>,
}

/// All of them.
pub const CASES: &[Case] = &[
    Case {
        name: "reload",
        says: "a reload closes 200 idle connections of many ages: no timeout",
        run: reload,
    },
    Case {
        name: "request-limit",
        says: "nginx ends connections after three requests: no timeout",
        run: request_limit,
    },
    Case {
        name: "clients-first",
        says: "clients close at one age: their timeout, none of the server, and no advice",
        run: clients_close_first,
    },
    Case {
        name: "reload-busy",
        says: "a reload ends 10 connections behind the answers that were under way: no limit on requests",
        run: reload_behind_answers,
    },
    Case { name: "many-ages", says: "a server closes at many ages: no timeout", run: many_ages },
    Case {
        name: "changed",
        says: "a server restarted with a shorter timeout is followed within 20 closes",
        run: changed_by_restart,
    },
    Case {
        name: "reconfigured",
        says: "nginx reloaded with a longer timeout is followed within 20 closes",
        run: changed_by_reload,
    },
];

/// Two hosts under a tracer, an address for a server, and a place for its files.
struct Testbed<'a> {
    tracer: &'a DaemonUnderTest,
    net: Network,
    server: SocketAddr,
    directory: TempDir,
}

impl Case {
    /// Runs it under `tracer`; an error says what was not as described.
    pub fn run(&self, tracer: &DaemonUnderTest) -> Result<()> {
        let net = Network::build(Family::V4)?;
        let testbed = Testbed { tracer, server: endpoint(&net), net, directory: TempDir::new()? };
        (self.run)(&testbed).context(self.says)
    }
}

fn reload(testbed: &Testbed) -> Result<()> {
    const CONNECTIONS: u64 = 200;
    let (_nginx, words) = testbed.nginx("keepalive_timeout 60s;")?;
    let sessions: Vec<Session> = testbed.on_client(|| {
        let open = |_| {
            let mut session = testbed.open()?;
            session.ask(REQUEST, b"")?;
            let_pass(IDLE / 10);
            Ok(session)
        };
        (0..CONNECTIONS).map(open).collect()
    })?;
    let_pass(IDLE);
    nginx::reload(&testbed.net.server, &words)?;
    for session in sessions {
        session.until_closed()?;
    }
    testbed.has_seen("server", CONNECTIONS)?;
    testbed.shows_nothing()
}

/// nginx says that it keeps such a connection, and closes it all the same.
fn reload_behind_answers(testbed: &Testbed) -> Result<()> {
    const CLIENTS: u64 = 10;
    // The second half of the answer waits for a second.
    let slow = format!("location /slow {{ limit_rate 1k; return 200 {}; }}", ".".repeat(2_000));
    let (_nginx, words) = testbed.nginx(&slow)?;
    let client = |begun: Sender<()>| {
        let mut session = testbed.open()?;
        session.send("GET /slow HTTP/1.1\r\nHost: lab", b"")?;
        let head = session.head()?;
        begun.send(())?;
        session.rest(&head)?;
        session.until_closed()?;
        // As a client that is faster than the FIN; but later than the answer by some ticks of any kernel's clock.
        let_pass(IDLE / 4);
        session.send(REQUEST, b"")?;
        Ok(())
    };
    testbed.on_client(|| {
        // There is no limit at two requests.
        let mut session = testbed.open()?;
        for _ in 0..10 {
            ensure!(session.ask(REQUEST, b"")?, "nginx has a limit");
            let_pass(IDLE / 10);
        }
        thread::scope(|scope| {
            let (begun, under_way) = mpsc::channel();
            let open = |_| {
                let begun = begun.clone();
                scope.spawn(move || client(begun))
            };
            let clients: Vec<_> = (0..CLIENTS).map(open).collect();
            (0..CLIENTS).try_for_each(|_| under_way.recv_timeout(patience()))?;
            nginx::reload(&testbed.net.server, &words)?;
            clients.into_iter().try_for_each(client::join)
        })
    })?;
    let races = [r#"cause="keepalive_race""#, r#"role="client""#, &format!(r#"server="{}""#, testbed.server)];
    until("the races to be counted", || {
        let count = Scrape(testbed.tracer.metrics()?).sum("tracer_resets_received_total", &races)?;
        Ok((count == CLIENTS).then_some(()))
    })?;
    testbed.shows_nothing()
}

fn request_limit(testbed: &Testbed) -> Result<()> {
    let (_nginx, _) = testbed.nginx("keepalive_requests 3;")?;
    testbed.on_client(|| {
        for _ in 0..12 {
            let mut session = testbed.open()?;
            let mut kept = || session.ask(REQUEST, b"");
            ensure!((kept()?, kept()?, kept()?) == (true, true, false), "nginx has another limit");
            session.until_closed()?;
            let_pass(APART);
        }
        // The tracer has seen all of that when it has seen this one.
        let mut session = testbed.open()?;
        session.ask(REQUEST, b"")?;
        let_pass(IDLE);
        Ok(())
    })?;
    testbed.has_seen("client", 1)?;
    testbed.shows_nothing()
}

fn clients_close_first(testbed: &Testbed) -> Result<()> {
    const CLIENTS: u64 = 20;
    const KEEP: Duration = Duration::from_secs(1);
    let _server = testbed.plain(|| NEVER)?;
    let client = || {
        let mut session = testbed.open()?;
        session.ask(REQUEST, b"")?;
        let_pass(KEEP);
        Ok(())
    };
    testbed.on_client(|| {
        thread::scope(|scope| {
            let open = |_| {
                let_pass(APART);
                scope.spawn(client)
            };
            let clients: Vec<_> = (0..CLIENTS).map(open).collect();
            clients.into_iter().try_for_each(client::join)
        })
    })?;
    testbed.has_seen("client", CLIENTS)?;
    testbed.shows_nothing()?;
    let servers = testbed.tracer.json("/api/v1/servers?limit=1000")?;
    let keeps =
        about(&servers, testbed.server).filter_map(|server| server["client_timeout_seconds"].as_f64());
    let found: Vec<f64> = keeps.collect();
    let right = |seconds: &f64| (seconds / KEEP.as_secs_f64() - 1.0).abs() < 0.05;
    ensure!(found.len() == 2 && found.iter().all(right), "the clients' timeout is {found:?}");
    Ok(())
}

fn many_ages(testbed: &Testbed) -> Result<()> {
    // From 100 to 1,500 ms, each once before one comes again: wider than any sweep of its lowest one.
    let turn = AtomicU64::new(0);
    let age = move || Duration::from_millis(100 + 50 * (turn.fetch_add(1, Relaxed) * 11 % 29));
    let _server = testbed.plain(age)?;
    testbed.closes(30)?;
    testbed.has_seen("server", 30)?;
    testbed.shows_nothing()
}

fn changed_by_restart(testbed: &Testbed) -> Result<()> {
    let mut server = None;
    follows(testbed, [1_000, 500].map(Duration::from_millis), |timeout| {
        // The old one must be gone before the new one can listen.
        drop(server.take());
        server = Some(testbed.plain(move || timeout)?);
        Ok(())
    })
}

fn changed_by_reload(testbed: &Testbed) -> Result<()> {
    let (_nginx, words) = testbed.nginx("")?;
    follows(testbed, [500, 1_000].map(Duration::from_millis), |timeout| {
        testbed.configure(&format!("keepalive_timeout {}ms;", timeout.as_millis()))?;
        nginx::reload(&testbed.net.server, &words)
    })
}

/// Closes connections at one timeout, and then 20 at another, which must be shown by then. Again if the machine is too
/// busy for a server to be on time.
fn follows(
    testbed: &Testbed,
    [before, after]: [Duration; 2],
    mut change: impl FnMut(Duration) -> Result<()>,
) -> Result<()> {
    let mut learns = |timeout: Duration, closes| {
        change(timeout)?;
        let idle = testbed.closes(closes)?;
        match testbed.shows(timeout) {
            Err(_) if idle.iter().any(|idle| *idle > timeout.mul_f64(1.02)) => Ok(false),
            shown => shown.map(|()| true),
        }
    };
    for _ in 0..TRIES {
        if learns(before, 10)? && learns(after, 20)? {
            return Ok(());
        }
    }
    bail!("the machine is too busy: no server closes on time");
}

impl Testbed<'_> {
    fn on_client<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        self.net.client.enter(work)
    }

    fn open(&self) -> Result<Session> {
        Session::open(self.server).with_context(|| format!("{} does not accept", self.server))
    }

    fn plain(&self, timeout: impl Fn() -> Duration + Send + Sync + 'static) -> Result<Plain> {
        Plain::start(&self.net.server, self.server, timeout)
    }

    /// Starts nginx with this directive; returns its command line too.
    fn nginx(&self, directive: &str) -> Result<(ServerProgram, Vec<String>)> {
        let words = self.configure(directive)?;
        Ok((ServerProgram::start(&self.net.server, self.server, &words, self.directory.path())?, words))
    }

    fn configure(&self, directive: &str) -> Result<Vec<String>> {
        let server =
            format!("server {{ listen {}; {directive} location / {{ return 200 ok; }} }}", self.server);
        nginx::configure(self.directory.path(), "nginx", &server)
    }

    /// Lets `count` clients wait until the server closes their connection; returns how long they idled.
    fn closes(&self, count: usize) -> Result<Vec<Duration>> {
        self.on_client(|| Clients::spread(self.server, NEVER).make(count, || ()))
    }

    /// Waits until the tracer has counted `count` closes of idle connections at both ends.
    fn has_seen(&self, closed_by: &str, count: u64) -> Result<()> {
        until("the closes to be counted", || {
            let scrape = Scrape(self.tracer.metrics()?);
            let seen = |role: &str| {
                let labels = [("role", role), ("server", &self.server.to_string()), ("closed_by", closed_by)];
                let labels = labels.map(|(name, value)| format!("{name}=\"{value}\""));
                scrape.sum("tracer_idle_close_seconds_count", &labels.each_ref().map(String::as_str))
            };
            let seen = [seen("server")?, seen("client")?];
            ensure!(seen.iter().all(|&seen| seen <= count), "{seen:?} closes are counted, not {count}");
            Ok((seen == [count; 2]).then_some(()))
        })
    }

    fn timeouts(&self) -> Result<[Option<f64>; 2]> {
        let metrics = self.tracer.metrics()?;
        Ok(["server", "client"].map(|role| timeout(&metrics, role, self.server)))
    }

    /// Waits until this timeout is shown at both ends, as it must be once the closes so far are judged.
    fn shows(&self, expected: Duration) -> Result<()> {
        let right = |seconds: Option<f64>| {
            seconds.is_some_and(|seconds| (seconds / expected.as_secs_f64() - 1.0).abs() < 0.02)
        };
        until(&format!("a timeout of {expected:?}"), || {
            Ok(self.timeouts()?.into_iter().all(right).then_some(()))
        })
    }

    /// No timeout is shown and no advice is given, now or when all closes so far are judged.
    fn shows_nothing(&self) -> Result<()> {
        let began = Instant::now();
        while began.elapsed() < JUDGED_WITHIN {
            let shown = self.timeouts()?;
            ensure!(shown == [None; 2], "timeouts are shown: {shown:?}");
            let advice = self.tracer.json("/api/v1/advice")?;
            let given: Vec<_> = about(&advice, self.server).collect();
            ensure!(given.is_empty(), "advice is given: {given:?}");
            let_pass(IDLE);
        }
        Ok(())
    }
}

/// The elements about `server`.
fn about(list: &Value, server: SocketAddr) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten().filter(move |element| element["server"] == *server.to_string())
}
