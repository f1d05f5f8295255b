//! Pairs of a server and what asks it, all at once on the hosts of one network.

use std::collections::HashSet;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::programs::step;
use crate::servers::client::{Clients, join};
use crate::servers::failures::front::{Front, Proxy, Walked};
use crate::servers::failures::incident::Tracer;
use crate::servers::failures::kind::{Break, Kind, Pause};
use crate::servers::failures::remedy::Remedy;
use crate::servers::failures::table::Row;
use crate::servers::failures::tls;
use crate::servers::failures::upstream::{BACKLOG, KEEPS, Place, Speaks, Upstream};
use crate::servers::failures::verdict::{Evidence, judge};
use crate::servers::failures::walk::Plan;
use crate::servers::failures::wire::{connections, id_in};
use crate::testbed::capture::Capture;
use crate::testbed::network::{Family, Network};
use crate::testbed::server::ServerProgram;
use crate::testbed::wait::{let_pass, until};

/// A server that stops to run is killed that much later: requests that came meanwhile have waited for 3 s.
const HANGS: Duration = Duration::from_secs(7);
/// The tracer holds an incident for 100 ms; the machine may be busy.
const SETTLES: Duration = Duration::from_millis(1_500);
/// Upper bound on the time from a request to its answer.
const ANSWERED: Duration = Duration::from_millis(300);
/// Idle closes from which the server's timeout is measured.
const SAMPLES: usize = 4;

/// What asks what, and how it fails.
#[derive(Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) kind: &'static Kind,
    pub(crate) server: Where,
    pub(crate) front: Front,
}

/// What is asked.
#[derive(Clone, Copy)]
pub(crate) enum Where {
    Software(&'static Upstream),
    /// A port that nobody serves.
    Nobody,
    /// An address from which nothing comes back.
    Silence,
    /// An address that a router knows no way to.
    NoRoute,
}

/// How much of it.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) walkers: u32,
    pub(crate) rounds: u32,
}

/// Pairs on one network, which all break in the same way.
pub(crate) struct Batch {
    pub(crate) pairs: Vec<Pair>,
    pub(crate) size: Size,
}

/// A pair in its place.
struct Running {
    pair: Pair,
    endpoint: SocketAddr,
    upstream: Option<ServerProgram>,
    files: PathBuf,
    plan: Plan,
    proxy: Option<Proxy>,
}

impl Pair {
    /// What it needs and is not here, of what is no Debian package.
    pub(crate) fn lacks(&self) -> Option<String> {
        match self.server {
            Where::Software(upstream) if !upstream.is_installed() => Some(upstream.name.to_owned()),
            _ if !self.front.is_installed() => Some(self.front.to_string()),
            _ => None,
        }
    }

    /// Whether it fails for idle timeouts, and whoever asks can follow what is advised.
    fn is_remedied(&self) -> bool {
        matches!(self.kind.pause, Pause::AroundTimeout) && self.front.has_idle_timeout()
    }
}

impl Where {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Software(upstream) => upstream.name,
            Self::Nobody => "nobody",
            Self::Silence => "silence",
            Self::NoRoute => "no route",
        }
    }

    fn speaks(self) -> Speaks {
        if let Self::Software(upstream) = self { upstream.speaks } else { Speaks::Http }
    }
}

impl Batch {
    /// How it breaks.
    fn breaks(&self) -> Break {
        self.pairs.first().map_or(Break::Nothing, |pair| pair.kind.breaks)
    }

    pub(crate) fn breaks_a_network(&self) -> bool {
        self.breaks() != Break::Nothing
    }

    /// Runs all pairs and judges what the tracer says of each.
    pub(crate) fn run(&self, tracer: &Tracer) -> Result<Vec<Row>> {
        let [first, others @ ..] = self.pairs.as_slice() else { return Ok(Vec::new()) };
        step(&format!("{first} and {} more", others.len()));
        let pairs: Vec<_> = self.pairs.iter().map(|pair| (*pair, None)).collect();
        let mut rows = run(tracer, &pairs, self.size, self.breaks())?;
        // Once more, with what was advised.
        let remedied: Vec<_> = self
            .pairs
            .iter()
            .zip(&rows)
            .enumerate()
            .filter(|(_, (pair, _))| pair.is_remedied())
            .filter_map(|(index, (pair, row))| Some((index, (*pair, Some(row.remedy.clone()?)))))
            .collect();
        let (indices, pairs): (Vec<_>, Vec<_>) = remedied.into_iter().unzip();
        if !pairs.is_empty() {
            for (index, row) in indices.into_iter().zip(run(tracer, &pairs, self.size, self.breaks())?) {
                rows[index].add_remedied(row);
            }
        }
        Ok(rows)
    }
}

fn run(tracer: &Tracer, pairs: &[(Pair, Option<Remedy>)], size: Size, breaks: Break) -> Result<Vec<Row>> {
    let (net, directory) = (network(breaks)?, TempDir::new()?);
    let running = pairs
        .iter()
        .enumerate()
        .map(|(number, (pair, remedy))| {
            let directory = directory.path().join(number.to_string());
            Running::start(&net, *pair, remedy.clone(), size, &directory)
                .with_context(|| format!("{} behind {}", pair.server.name(), pair.front))
        })
        .collect::<Result<Vec<_>>>()?;
    let running = measured(&net, running)?;
    let capture = Capture::start(&net.client, directory.path().join("client.pcap"))?;
    let waiting = if breaks == Break::Crowd { crowd(&net, &running)? } else { Vec::new() };
    let walked = thread::scope(|scope| {
        let walks: Vec<_> = running
            .iter()
            .map(|one| scope.spawn(|| net.client.enter(|| one.walk().context(one.pair.server.name()))))
            .collect();
        breaks.happen(&net, &running, waiting)?;
        walks.into_iter().map(join).collect::<Result<Vec<_>>>()
    })?;
    let_pass(SETTLES);
    let segments = capture.finish_complete(net.nowhere())?;
    let connections = connections(&segments);
    let incidents = tracer.about(&[net.client.inum(), net.server.inum(), net.standby.inum()]);
    let advice = tracer.daemon.json("/api/v1/advice")?;
    let rows = running.iter().zip(&walked).map(|(one, walked)| {
        let ends = [Some(one.endpoint), one.proxy.as_ref().map(|proxy| proxy.endpoint)];
        let about: Vec<_> =
            incidents.iter().filter(|incident| ends.contains(&Some(incident.ends()[1]))).cloned().collect();
        let asked = connections.iter().filter(|(id, _)| one.plan.has(**id));
        let asked = asked.chain(&walked.connections);
        let connections = asked.map(|(id, clients)| (*id, clients.clone())).collect();
        let evidence = Evidence {
            kind: one.pair.kind,
            is_opaque: one.pair.server.speaks().is_opaque(),
            walked,
            connections: &connections,
            taken: &taken(&one.files)?,
            incidents: &about,
        };
        Ok(Row::new(&one.pair, walked, judge(&evidence), &advice, &one.plan))
    });
    let rows = rows.collect::<Result<_>>()?;
    // What the hosts still say while they are taken down reaches nobody.
    net.cut()?;
    Ok(rows)
}

/// Hosts on which connections die soon when nothing comes back, where that is the subject.
fn network(breaks: Break) -> Result<Network> {
    let net = Network::build(Family::V4)?;
    net.server.sysctl("net.ipv4.tcp_abort_on_overflow", "1")?;
    net.dead_ends()?;
    if breaks == Break::Silence {
        net.client.ip("route change default via 10.77.2.254")?;
        net.client.sysctl("net.ipv4.tcp_retries2", "3")?;
    }
    Ok(net)
}

impl Running {
    fn start(
        net: &Network,
        pair: Pair,
        remedy: Option<Remedy>,
        size: Size,
        directory: &Path,
    ) -> Result<Self> {
        static REQUESTS: AtomicU64 = AtomicU64::new(1);
        let port = port();
        let endpoint = match pair.server {
            Where::Silence => SocketAddr::new([10, 77, 4, 1].into(), port),
            Where::NoRoute => SocketAddr::new([10, 77, 5, 1].into(), port),
            Where::Nobody | Where::Software(_) => SocketAddr::new(net.server_endpoint().ip(), port),
        };
        let files = directory.join("server");
        fs::create_dir_all(&files)?;
        let upstream = match pair.server {
            Where::Software(upstream) => {
                let place = Place { endpoint, directory: &files, keeps: pair.kind.keeps };
                let words = upstream.words(&place)?;
                let program = ServerProgram::start(&net.server, endpoint, &words, &files);
                Some(program.with_context(|| format!("Debian package {}", upstream.package))?)
            }
            _ => None,
        };
        let rounds = pair.kind.rounds(size.rounds);
        let [from, to] = pair.kind.pause.range(&(Duration::ZERO..=Duration::ZERO));
        let plan = Plan {
            client: net.client_address().ip(),
            server: endpoint,
            tls: pair.server.speaks() == Speaks::Https,
            walkers: size.walkers,
            rounds,
            from,
            to,
            actions: pair.kind.actions,
            patience: pair.kind.patience,
            stagger: Plan::STAGGER,
            renews: false,
            first: REQUESTS.fetch_add(u64::from(size.walkers * rounds), Ordering::Relaxed),
            remedy,
        };
        let proxy = {
            let directory = directory.join("front");
            fs::create_dir_all(&directory)?;
            let endpoint = SocketAddr::new(net.client_address().ip(), self::port());
            pair.front.start(&net.client, endpoint, pair.server.speaks(), &plan, &directory, &files)?
        };
        Ok(Self { pair, endpoint, upstream, files, plan, proxy })
    }

    fn walk(&self) -> Result<Walked> {
        let directory = self.files.with_file_name("front");
        self.pair.front.walk(&self.plan, self.proxy.as_ref(), &directory)
    }

    /// How long the server kept some idle connections.
    fn idle_closes(&self) -> Result<Vec<Duration>> {
        if self.plan.tls {
            return tls::idle_closes(self.endpoint, SAMPLES);
        }
        Clients::spread(self.endpoint, Duration::from_secs(KEEPS.into())).make(SAMPLES, || ())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        self.upstream.as_ref().map_or(Ok(()), |upstream| upstream.signal(signal))
    }
}

/// Measures when each server closes idle connections, where walkers go by that.
fn measured(net: &Network, running: Vec<Running>) -> Result<Vec<Running>> {
    let measure = |mut one: Running| {
        if matches!(one.pair.kind.pause, Pause::AroundTimeout) {
            let closes = net.client.enter(|| one.idle_closes())?;
            let [from, to] = one.pair.kind.pause.range(&range(&closes)?);
            one.plan = Plan { from, to, ..one.plan };
        }
        Ok(one)
    };
    thread::scope(|scope| {
        let measures: Vec<_> = running.into_iter().map(|one| scope.spawn(|| measure(one))).collect();
        measures.into_iter().map(join).collect()
    })
}

fn range(closes: &[Duration]) -> Result<RangeInclusive<Duration>> {
    let (first, last) = closes.iter().min().zip(closes.iter().max()).context("no idle close")?;
    Ok(*first..=*last)
}

impl Break {
    /// Waits until the walkers are where it should happen, and lets it.
    fn happen(self, net: &Network, running: &[Running], waiting: Vec<TcpStream>) -> Result<()> {
        match self {
            Self::Nothing => Ok(()),
            Self::Crowd => {
                let connecting = || net.server.ss("-tnH state syn-recv").map(|lines| lines.lines().count());
                let walkers: u32 = running.iter().map(|one| one.plan.walkers).sum();
                until("all walkers to connect", || Ok((connecting()? >= walkers as usize).then_some(())))?;
                drop(waiting);
                net.release_packets_to_client()?;
                running.iter().try_for_each(|one| one.signal(Signal::SIGCONT))
            }
            Self::StopAndKill => {
                each_walker_had(running, 1)?;
                running.iter().try_for_each(|one| one.signal(Signal::SIGSTOP))?;
                let_pass(HANGS);
                running.iter().try_for_each(|one| one.signal(Signal::SIGKILL))
            }
            Self::Destroy => {
                each_walker_had(running, 2)?;
                running.iter().try_for_each(|one| {
                    let filter = format!("-K state established sport = :{}", one.endpoint.port());
                    net.server.ss(&filter).map(drop)
                })
            }
            Self::Silence => {
                each_walker_had(running, 1)?;
                net.lose_packets_to_server()
            }
            Self::FailOver => {
                each_walker_had(running, 1)?;
                net.fail_over()
            }
        }
    }
}

/// Stops the servers and fills their queues up to the last place; then nothing reaches the clients.
fn crowd(net: &Network, running: &[Running]) -> Result<Vec<TcpStream>> {
    let mut waiting = Vec::new();
    for one in running {
        one.signal(Signal::SIGSTOP)?;
        for _ in 0..BACKLOG {
            waiting.push(net.client.enter(|| Ok(TcpStream::connect(one.endpoint)?))?);
        }
    }
    net.hold_packets_to_client()?;
    Ok(waiting)
}

/// Waits until each server has taken so many requests of each walker.
fn each_walker_had(running: &[Running], requests: usize) -> Result<()> {
    until("the walkers to be answered", || {
        for one in running {
            if taken(&one.files)?.len() < one.plan.walkers as usize * requests {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })?;
    // What was taken last is answered.
    let_pass(ANSWERED);
    Ok(())
}

/// The requests that a server's application took: it wrote their paths into a log.
fn taken(files: &Path) -> Result<HashSet<u64>> {
    let mut taken = HashSet::new();
    for entry in fs::read_dir(files)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let text = fs::read(&path)?;
            taken.extend(String::from_utf8_lossy(&text).lines().filter_map(id_in));
        }
    }
    Ok(taken)
}

/// A port that no other server of this run has: the tracer knows servers, not namespaces.
fn port() -> u16 {
    static USED: AtomicU16 = AtomicU16::new(0);
    let first = 12_000 + u16::try_from(process::id() % 10).unwrap_or(0) * 2_000;
    first + USED.fetch_add(1, Ordering::Relaxed) % 2_000
}
