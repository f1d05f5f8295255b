//! More events than the ring can take.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tracer_lab::testbed::checkpoint::{Checkpoint, Own};
use tracer_lab::testbed::recording::Recording;

use crate::network::Network;
use crate::turn;
use tracer_lab::testbed::daemon::{DaemonUnderTest, command};

/// Of one burst. Each is one RST segment sent and one received, and a record of both: more than 400 times what the ring
/// has room for.
const REFUSALS: usize = 5000;
/// Room for 23 records.
const SMALL_RING: &str = "4096";
/// Room for the records of all bursts.
const LARGE_RING: &str = "67108864";

#[test]
fn a_full_ring_loses_events_counts_them_and_leaves_the_segment_counters_exact() -> Result<()> {
    let Some(_turn) = turn::alone() else { return Ok(()) };
    let directory = TempDir::new()?;
    let [taken, all] = ["taken", "all"].map(|name| directory.path().join(name));
    // The daemon counts for the whole host: what others do meanwhile is known from a second one, which loses nothing.
    let reference = start(LARGE_RING, &all)?;
    let daemon = start(SMALL_RING, &taken)?;
    let network = Network::new()?;
    let mut bursts = Vec::new();
    for _ in 0..2 {
        bursts.push(burst(&daemon, &taken, &network, || network.refuse_many(REFUSALS))?);
        bursts.push(burst(&daemon, &taken, &network, || {
            // Now nobody empties the ring.
            daemon.send(Signal::SIGSTOP);
            network.refuse_many(REFUSALS)?;
            daemon.send(Signal::SIGCONT);
            Ok(())
        })?);
    }
    let none_lost = reference.checkpoint(&all)?.overflowed()?;
    for ended in [daemon.end(Signal::SIGTERM)?, reference.end(Signal::SIGTERM)?] {
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{ended:?}");
    }
    assert_eq!(none_lost, 0, "the reference lost records");
    let (reference, taken) = (Recording::read(&all)?, Recording::read(&taken)?);
    for [before, after] in bursts {
        let own = Own::between(&before, &after, &[network.inum], &reference, &taken)?;
        let refusals = REFUSALS as u64;
        assert_eq!((own.segments_sent, own.segments_received), (refusals, refusals), "{own:?}");
        assert!(own.accounts_for(2 * refusals), "records are neither taken nor lost: {own:?}");
        assert!(own.lost > 0, "the ring was never full: {own:?}");
    }
    Ok(())
}

fn start(ring: &str, recording: &Path) -> Result<DaemonUnderTest> {
    let recording = recording.to_str().context("a temporary directory with a strange name")?;
    DaemonUnderTest::of(command(&[], &["--events", "off", "--event-buffer", ring, "--record", recording]))
}

/// What the daemon has counted before and after a burst in which the kernel counts that all was refused.
fn burst(
    daemon: &DaemonUnderTest,
    recording: &Path,
    network: &Network,
    refuse: impl Fn() -> Result<()>,
) -> Result<[Checkpoint; 2]> {
    let before = daemon.checkpoint(recording)?;
    let (sent, failed) = (network.host.tcp_counter("OutRsts")?, network.host.tcp_counter("AttemptFails")?);
    refuse()?;
    let sent = network.host.tcp_counter("OutRsts")? - sent;
    let received = network.host.tcp_counter("AttemptFails")? - failed;
    ensure!(sent == REFUSALS as u64 && received == sent, "the kernel sent {sent} and received {received}");
    Ok([before, daemon.checkpoint(recording)?])
}
