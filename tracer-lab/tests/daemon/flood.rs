//! More events than the ring can take.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use nix::sys::signal::Signal;
use tracer_lab::testbed::wait::let_pass;

use crate::network::Network;
use crate::process::{Daemon, tracer};
use crate::turn;
use tracer_lab::testbed::scrape::Scrape;

/// Of one burst. Each is one RST segment sent and one received, and a record of both: more than 400 times what the ring
/// has room for.
const REFUSALS: usize = 5000;
/// Bursts that must be counted exactly.
const BURSTS: usize = 2;
/// The daemon counts for the whole host: others may send RST segments too, but not during every burst.
const TRIES: usize = 40;
/// The daemon looks at the ring again within 100 ms. A scrape before that would itself be lost in it.
const EMPTIED: Duration = Duration::from_millis(150);

#[test]
fn a_full_ring_loses_events_counts_them_and_leaves_the_segment_counters_exact() -> Result<()> {
    let Some(_turn) = turn::alone() else { return Ok(()) };
    // Room for 23 records.
    let daemon = Daemon::start(tracer(&[], &["--events", "off", "--event-buffer", "4096"]))?;
    let network = Network::new()?;
    check(&daemon, &network, || network.refuse_many(REFUSALS))?;
    check(&daemon, &network, || {
        // Now nobody empties the ring.
        daemon.send(Signal::SIGSTOP)?;
        network.refuse_many(REFUSALS)?;
        daemon.send(Signal::SIGCONT)
    })?;
    let ended = daemon.stop(Signal::SIGTERM)?;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{ended:?}");
    Ok(())
}

/// What the daemon has counted so far.
#[derive(Debug)]
struct Counts {
    segments_sent: u64,
    segments_received: u64,
    /// Records of RST segments that were taken from the ring.
    taken: u64,
    /// Records that found it full.
    lost: u64,
}

impl Counts {
    fn read(daemon: &Daemon) -> Result<Self> {
        let scrape = Scrape::take(daemon.port)?;
        let taken = |event| scrape.value(&format!("tracer_events_total{{event=\"{event}\"}}"));
        Ok(Self {
            segments_sent: scrape.value("tracer_rst_segments_sent_total")?,
            segments_received: scrape.value("tracer_rst_segments_received_total")?,
            taken: taken("send_reset")? + taken("receive_reset")?,
            lost: scrape.value("tracer_events_lost_total{buffer=\"events\"}")?,
        })
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            segments_sent: self.segments_sent - before.segments_sent,
            segments_received: self.segments_received - before.segments_received,
            taken: self.taken - before.taken,
            lost: self.lost - before.lost,
        }
    }
}

/// Compares what the daemon counts with what the kernel counts in the namespace, until enough bursts were exact.
fn check(daemon: &Daemon, network: &Network, burst: impl Fn() -> Result<()>) -> Result<()> {
    let mut exact = 0;
    let mut others = Vec::new();
    for _ in 0..TRIES {
        let before = Counts::read(daemon)?;
        let (sent, failed) = (network.tcp_counter("OutRsts")?, network.tcp_counter("AttemptFails")?);
        burst()?;
        let sent = network.tcp_counter("OutRsts")? - sent;
        let received = network.tcp_counter("AttemptFails")? - failed;
        ensure!(
            sent == REFUSALS as u64 && received == sent,
            "the kernel sent {sent} and received {received}"
        );

        let_pass(EMPTIED);
        let counted = Counts::read(daemon)?.since(&before);
        ensure!(
            counted.segments_sent >= sent && counted.segments_received >= received,
            "segments are missing: {counted:?}"
        );
        ensure!(counted.lost > 0, "the ring was never full: {counted:?}");
        let segments_are_exact = (counted.segments_sent, counted.segments_received) == (sent, received);
        if segments_are_exact && counted.taken + counted.lost == sent + received {
            exact += 1;
            if exact == BURSTS {
                return Ok(());
            }
        } else {
            others.push(counted);
        }
    }
    bail!("{exact} of {TRIES} bursts were counted exactly; the others: {others:#?}")
}
