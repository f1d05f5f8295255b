//! Runs a soak: what is completed is decided by the seed, the order in which it happens by the machine.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use fastrand::Rng;
use nix::errno::Errno;

use crate::soak::kinds::{KINDS, Kind};
use crate::soak::pair::{Pair, Worker};
use crate::testbed::network::Network;

/// In each network.
const WORKERS: usize = 8;
/// Each worker's server has this port and the two behind it.
const FIRST_SERVER_PORT: u16 = 8080;
const SERVER_PORTS: usize = 10;
/// Each connection has a port of its own, so that its lines are known by it.
const FIRST_CLIENT_PORT: usize = 10_000;
/// Bytes of a message.
const MESSAGE: std::ops::Range<usize> = 100..1000;
/// The shortest time a connection idles: longer than what is no idle time to the tracer.
const REST: Duration = Duration::from_millis(60);
/// Exchanges on a connection before the last.
const EXCHANGES: std::ops::RangeInclusive<usize> = 1..=3;

/// A connection that was completed.
pub(crate) struct Completed {
    pub(crate) kind: &'static Kind,
    pub(crate) server: End,
    pub(crate) client: End,
}

/// One end of it.
pub(crate) struct End {
    pub(crate) netns: u64,
    pub(crate) endpoint: SocketAddr,
    /// How a RST ended its socket.
    pub(crate) errno: Option<Errno>,
}

struct Planned {
    kind: &'static Kind,
    port: u16,
    exchanges: usize,
    message: usize,
    rest: Duration,
}

/// Runs `connections` connections, shared equally between the networks, and says how long it took.
pub(crate) fn run(nets: &[Network], connections: usize, seed: u64) -> Result<(Vec<Completed>, Duration)> {
    let mut random = Rng::with_seed(seed);
    let mut parts = Vec::new();
    for net in nets {
        let mut plan = (0..connections / nets.len())
            .map(|number| planned(number, &mut random))
            .collect::<Result<Vec<_>>>()?;
        for worker in 0..WORKERS {
            let rest = plan.split_off(plan.len() / (WORKERS - worker));
            parts.push((net, FIRST_SERVER_PORT + u16::try_from(worker * SERVER_PORTS)?, plan));
            plan = rest;
        }
    }
    let began = Instant::now();
    let completed = thread::scope(|scope| {
        let start = |(net, port, plan): (_, _, Vec<Planned>)| scope.spawn(move || run_part(net, port, &plan));
        let workers: Vec<_> = parts.into_iter().map(start).collect();
        let end = |worker: thread::ScopedJoinHandle<Result<Vec<Completed>>>| {
            worker.join().map_err(|_| anyhow!("a worker panicked"))?
        };
        workers.into_iter().map(end).collect::<Result<Vec<_>>>()
    })?;
    Ok((completed.into_iter().flatten().collect(), began.elapsed()))
}

fn planned(number: usize, random: &mut Rng) -> Result<Planned> {
    Ok(Planned {
        kind: random.choice(KINDS).context("there are no kinds")?,
        port: u16::try_from(FIRST_CLIENT_PORT + number).context("too many connections")?,
        exchanges: random.usize(EXCHANGES),
        message: random.usize(MESSAGE),
        // Most are short, and no age is more common than those around it: the server has no timeout.
        rest: REST.mul_f64((1.0 / (1.0 - random.f64() * 0.95)).ln() + 1.0),
    })
}

fn run_part(net: &Network, port: u16, plan: &[Planned]) -> Result<Vec<Completed>> {
    let worker = Worker::new(net, port)?;
    net.client.enter(|| plan.iter().map(|planned| run_one(net, &worker, planned)).collect())
}

fn run_one(net: &Network, worker: &Worker, planned: &Planned) -> Result<Completed> {
    let kind = planned.kind;
    let mut pair = Pair::new(worker, planned.port, planned.message, planned.rest)?;
    (kind.run)(&mut pair, planned.exchanges).with_context(|| format!("{} ({})", kind.name, planned.port))?;
    Ok(Completed {
        kind,
        server: End { netns: net.server.inum(), endpoint: pair.server_endpoint, errno: pair.server_errno },
        client: End { netns: net.client.inum(), endpoint: pair.client_endpoint, errno: pair.client_errno },
    })
}
