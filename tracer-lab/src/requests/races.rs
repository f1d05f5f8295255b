//! What a reset tells of the exchanges before it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::oracle::describe::describe;
use crate::oracle::evidence::{Side, weigh};
use crate::testbed::capture::Capture;
use crate::testbed::daemon::{DaemonUnderTest, RACE_WINDOW};
use crate::testbed::network::{Family, Network, own_port};
use crate::testbed::sockets::listen;
use crate::testbed::wait::let_pass;
use crate::traffic::ends::Ends;
use crate::traffic::exchange::Manner;

const RACES: u64 = 7;
/// How far half of the times may be from the capture's; with ticks alone they would be off by up to 4 or 10 ms.
const CLOSE: f64 = 0.001;

/// Each race knows how many requests came before it, but not on a connection that is older than the tracer; its times
/// are exact.
pub fn races_know_what_came_before(family: Family) -> Result<()> {
    let port = own_port()?;
    let net = Network::build_for_port(family, port)?;
    let server = net.server_endpoint();
    let listener = listen(&net, &net.server, 16)?;
    let older = Ends::open(&net, &listener, server)?;
    older.exchange_as(Manner::Plain)?;
    let tracer = DaemonUnderTest::start_with(&["--requests", "--race-window", RACE_WINDOW])?;
    let netns = [net.server.inum(), net.client.inum()];
    let directory = TempDir::new().context("no temporary directory for the captures")?;
    let captures = [
        (Side::Server, Capture::start(&net.server, directory.path().join("server.pcap"))?),
        (Side::Client, Capture::start(&net.client, directory.path().join("client.pcap"))?),
    ];
    let mut raced = Vec::new();
    for exchanges in 1..=RACES {
        let ends = Ends::open(&net, &listener, server)?;
        (0..exchanges).try_for_each(|_| ends.exchange_as(Manner::Plain))?;
        // Another part of a tick each time.
        let_pass(Duration::from_micros(60_000 + exchanges * 1_700));
        raced.push((ends.endpoint, exchanges));
        ends.race_unread(b"next request")?;
    }
    let young = tracer.lines.resets(&netns, raced.len() * 2);
    tracer.lines.forget(&netns);
    older.race_unread(b"next request")?;
    let old = tracer.lines.resets(&netns, 2);
    ensure!(old.len() == 2 && old.iter().all(|reset| reset.requests.is_none()), "{old:?}");

    for (side, capture) in captures {
        let segments = capture.finish(net.nowhere())?;
        let mut apart = Vec::new();
        for &(client, exchanges) in &raced {
            let evidence = weigh(&segments, client, server);
            let reported = young.iter().find(|reset| match side {
                Side::Client => reset.local == client,
                _ => reset.remote == client,
            });
            let reported = reported.with_context(|| format!("nothing is reported of {client}"))?;
            ensure!(reported.cause == "keepalive_race", "{}", describe(reported));
            let known = reported.requests.map(u64::from);
            ensure!(
                known == Some(exchanges) && known == Some(evidence.answered.into()),
                "{exchanges} requests, {} on the wire, {known:?} reported",
                evidence.answered
            );
            let wire = [evidence.idle, evidence.request_to_end.first().map(|end| end.seconds)];
            for (said, seen) in
                [reported.idle_seconds, reported.request_to_reset_seconds].into_iter().zip(wire)
            {
                let (said, seen) =
                    (said.context("no time is reported")?, seen.context("no time on the wire")?);
                apart.push((said - seen).abs());
            }
        }
        apart.sort_by(f64::total_cmp);
        // A busy machine lets an application wait now and then.
        ensure!(apart[apart.len() / 2] <= CLOSE, "{side:?}: the times are {apart:?} s from the wire's");
    }
    tracer.stop()
}
