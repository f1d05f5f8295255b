//! A server that closes all its connections at once.

use std::io::Write as _;
use std::net::SocketAddr;

use crate::oracle::describe::describe;
use crate::scenarios::base::IDLE;
use crate::testbed::daemon::DaemonUnderTest;
use crate::testbed::network::{Family, Network};
use crate::testbed::scrape::Scrape;
use crate::testbed::sockets::listen;
use crate::testbed::wait::{let_pass, until};
use crate::traffic::ends::{Ends, is_reset};
use anyhow::{Result, ensure};

const CONNECTIONS: usize = 200;
const RACERS: usize = 20;

pub(crate) fn clients_follow(tracer: &DaemonUnderTest, family: Family) -> Result<()> {
    reload(tracer, family, 0)
}

pub(crate) fn some_clients_race(tracer: &DaemonUnderTest, family: Family) -> Result<()> {
    reload(tracer, family, RACERS)
}

fn reload(tracer: &DaemonUnderTest, family: Family, racers: usize) -> Result<()> {
    let net = Network::build(family)?;
    let netns = [net.server.inum(), net.client.inum()];
    tracer.lines.forget(&netns);

    let listener = listen(&net, &net.server, 16)?;
    let open = |_| Ends::open(&net, &listener, net.server_endpoint());
    let connections = (0..CONNECTIONS).map(open).collect::<Result<Vec<_>>>()?;
    connections.iter().try_for_each(Ends::exchange)?;
    let_pass(IDLE);
    // All at once, before any client does something.
    let (mut clients, servers): (Vec<_>, Vec<_>) =
        connections.into_iter().map(|ends| (ends.client, ends.server)).unzip();
    drop(servers);
    for client in &clients {
        ensure!(client.peek(&mut [0])? == 0, "the server says more");
    }
    for client in clients.iter_mut().take(racers) {
        client.write_all(b"next request")?;
        is_reset(client)?;
    }
    drop(clients);

    let reported = tracer.lines.resets(&netns, 2 * racers);
    for (direction, role) in [("sent", "server"), ("received", "client")] {
        let lines = reported
            .iter()
            .filter(|reset| (reset.direction.as_deref(), &*reset.role) == (Some(direction), role));
        let told_races = lines.filter(|reset| reset.race.as_deref() == Some("fin_unprocessed"));
        ensure!(
            told_races.count() == racers,
            "{racers} races {direction} by the {role} are not reported: {reported:?}"
        );
    }
    ensure!(reported.len() == 2 * racers, "more is reported: {}", describe(&reported[2 * racers]));
    idle_closes(tracer, net.server_endpoint(), CONNECTIONS as u64)
}

/// Both sides have counted each close once; the tracer reads such events once a second.
pub(super) fn idle_closes(tracer: &DaemonUnderTest, server: SocketAddr, expected: u64) -> Result<()> {
    let count = || -> Result<[u64; 2]> {
        let scrape = Scrape(tracer.metrics()?);
        let count = |role: &str| {
            let labels =
                [r#"closed_by="server""#, &format!(r#"role="{role}""#), &format!(r#"server="{server}""#)];
            scrape.sum("tracer_idle_close_seconds_count", &labels)
        };
        Ok([count("server")?, count("client")?])
    };
    let found = until("the idle closes to be counted", || {
        Ok(Some(count()?).filter(|counts| counts.iter().all(|&count| count >= expected)))
    })?;
    ensure!(found == [expected; 2], "{found:?} closes of idle connections are counted");
    Ok(())
}
