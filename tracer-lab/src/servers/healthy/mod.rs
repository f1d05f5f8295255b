//! Traffic that needs no advice: clients close idle connections before their servers do, in every way that is usual,
//! and servers are reloaded and restarted meanwhile. Whatever timeout is shown must be a true one.

mod clients;
mod one_end;
mod oracle;
mod shapes;
mod topology;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use tempfile::TempDir;

use crate::programs::step;
use crate::servers::healthy::clients::Tally;
use crate::servers::healthy::oracle::Oracle;
use crate::servers::healthy::shapes::Outcome;
use crate::servers::healthy::topology::Topology;
use crate::testbed::daemon::{DaemonUnderTest, MAX_SERIES};
use crate::testbed::network::{Family, Network};
use crate::testbed::wait::let_pass;

/// Of hours of traffic the first part is recorded, in bytes.
const RECORDED: &str = "100000000";
/// From one poll of the tracer to the next.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Upper bound on the time between two reloads or restarts.
const REST: Duration = Duration::from_secs(10);
/// Lower bound on reloads and restarts.
const DISTURBANCES: u32 = 6;

/// What came of it.
pub struct Health {
    took: Duration,
    traffic: String,
    disturbances: u32,
    oracle: Oracle,
    shapes: Vec<Outcome>,
}

/// Lets clients and servers talk for `time` under a tracer; `fast` leaves out software that is large.
pub fn healthy(fast: bool, time: Duration) -> Result<Health> {
    let net = Network::build(Family::V4)?;
    let directory = TempDir::new()?;
    let recording = directory.path().join("recording");
    let file = recording.to_str().context("a temporary directory with a strange name")?;
    let flags = ["--max-series", MAX_SERIES, "--record", file, "--record-limit", RECORDED];
    let tracer = DaemonUnderTest::start_with(&flags)?;
    let mut topology = Topology::start(&net, directory.path())?;
    let mut oracle = Oracle::new(&net, topology.truths());
    let (addresses, tally, over) = (topology.addresses, Tally::default(), AtomicBool::new(false));
    let began = Instant::now();
    let (disturbances, (shapes, until_ns)) = thread::scope(|scope| {
        let traffic = scope.spawn(|| {
            net.client.enter(|| {
                clients::run(addresses, &tally, &over);
                Ok(())
            })
        });
        let shapes = scope.spawn(|| shapes::run(&tracer, &net, directory.path(), fast, time));
        let watched = watch(&tracer, &mut oracle, &mut topology, time);
        over.store(true, Ordering::Relaxed);
        let panicked = |_| Err(anyhow!("the traffic panicked"));
        let watched = traffic.join().unwrap_or_else(panicked).and(watched)?;
        anyhow::Ok((watched, shapes.join().unwrap_or_else(|_| Err(anyhow!("the traffic panicked")))?))
    })?;
    // What is closed by the end of the servers counts as well.
    drop(topology);
    let_pass(POLL_INTERVAL * 4);
    oracle.poll(&tracer)?;
    oracle.sum_up(&tracer)?;
    tracer.stop()?;
    let servers = shapes.iter().map(|shape| (shape.server, shape.connections)).collect();
    oracle.wrong.extend(one_end::judge(&recording, &net, &servers, until_ns)?);
    Ok(Health { took: began.elapsed(), traffic: tally.to_string(), disturbances, oracle, shapes })
}

/// Looks at the tracer and disturbs the servers now and then; returns how often.
fn watch(
    tracer: &DaemonUnderTest,
    oracle: &mut Oracle,
    topology: &mut Topology,
    time: Duration,
) -> Result<u32> {
    let began = Instant::now();
    let rest = REST.min(time / (DISTURBANCES + 1));
    let mut disturbances = 0;
    while began.elapsed() < time {
        // On a machine that is too busy for an answer, the next look will do.
        if let Err(error) = oracle.poll(tracer) {
            step(&format!("{error:#}"));
        }
        if began.elapsed() > rest * (disturbances + 1) {
            topology.disturb(disturbances).context("a server cannot be disturbed")?;
            disturbances += 1;
        }
        let_pass(POLL_INTERVAL);
    }
    Ok(disturbances)
}

impl Health {
    /// No advice was given and no timeout was shown that is not true.
    pub fn is_ok(&self) -> Result<()> {
        let wrong: Vec<_> =
            self.shapes.iter().flat_map(|shape| &shape.wrong).chain(&self.oracle.wrong).collect();
        ensure!(wrong.is_empty(), "{} wrong about healthy traffic, such as: {}", wrong.len(), wrong[0]);
        Ok(())
    }
}

impl fmt::Display for Health {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "{:.0} s of healthy traffic, {} reloads and restarts",
            self.took.as_secs_f64(),
            self.disturbances
        )?;
        write!(out, "{}{}", self.traffic, self.oracle)?;
        self.shapes.iter().try_for_each(|shape| shape.fmt(out))
    }
}
