//! A server that closes all its connections at once.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Result, ensure};
use socket2::SockRef;

use crate::oracle::describe::describe;
use crate::scenarios::IDLE;
use crate::testbed::daemon::DaemonUnderTest;
use crate::testbed::network::{Family, Network};
use crate::testbed::scrape::Scrape;
use crate::testbed::sockets::{accept, client_here, listen};
use crate::testbed::wait::{let_pass, until};

const CONNECTIONS: usize = 200;
const RACERS: usize = 20;

pub(crate) fn clients_follow(tracer: &DaemonUnderTest, family: Family) -> Result<()> {
    reload(tracer, family, 0)
}

pub(crate) fn some_clients_race(tracer: &DaemonUnderTest, family: Family) -> Result<()> {
    reload(tracer, family, RACERS)
}

fn reload(tracer: &DaemonUnderTest, family: Family, racers: usize) -> Result<()> {
    // A port of its own: the tracer's metrics know servers, not namespaces.
    static PLAYED: AtomicU16 = AtomicU16::new(0);
    let port =
        30_000 + u16::try_from(process::id() % 1000)? * 10 + PLAYED.fetch_add(1, Ordering::Relaxed) % 10;
    let net = Network::build_for_port(family, port)?;
    let netns = [net.server.inum(), net.client.inum()];
    tracer.lines.forget(&netns);

    let listener = listen(&net, &net.server, 16)?;
    let (mut clients, mut servers) = (Vec::new(), Vec::new());
    net.client.enter(|| {
        for _ in 0..CONNECTIONS {
            let client = client_here(net.client_address())?;
            SockRef::from(&client).connect(&net.server_endpoint().into())?;
            clients.push(client);
            servers.push(accept(&listener)?);
        }
        Ok(())
    })?;
    for (client, server) in clients.iter().zip(&servers) {
        exchange(client, server)?;
    }
    let_pass(IDLE);
    drop(servers);
    for client in &clients {
        ensure!(client.peek(&mut [0])? == 0, "the server says more");
    }
    for mut client in clients.iter().take(racers) {
        client.write_all(b"next request")?;
        until("the client to be reset", || Ok(client.take_error()?))?;
    }
    drop(clients);

    let told = tracer.lines.resets(&netns, 2 * racers);
    for (direction, role) in [("sent", "server"), ("received", "client")] {
        let lines = told.iter().filter(|reset| (&*reset.direction, &*reset.role) == (direction, role));
        let told_races = lines.filter(|reset| reset.race.as_deref() == Some("fin_unprocessed"));
        ensure!(
            told_races.count() == racers,
            "{racers} races {direction} by the {role} are not told: {told:?}"
        );
    }
    ensure!(told.len() == 2 * racers, "more is told: {}", describe(&told[2 * racers]));
    idle_closes(tracer, net.server_endpoint())
}

fn exchange(mut client: &TcpStream, mut server: &TcpStream) -> Result<()> {
    client.write_all(b"?")?;
    server.read_exact(&mut [0])?;
    server.write_all(b"!")?;
    Ok(client.read_exact(&mut [0])?)
}

/// Both sides have counted each close once; the tracer reads such events once a second.
fn idle_closes(tracer: &DaemonUnderTest, server: SocketAddr) -> Result<()> {
    let count = || -> Result<[u64; 2]> {
        let scrape = Scrape(tracer.metrics()?);
        let count = |role: &str| {
            let labels =
                [r#"closed_by="server""#, &format!(r#"role="{role}""#), &format!(r#"server="{server}""#)];
            scrape.sum("tracer_idle_close_seconds_count", &labels)
        };
        Ok([count("server")?, count("client")?])
    };
    let expected = CONNECTIONS as u64;
    let found = until("the idle closes to be counted", || {
        Ok(Some(count()?).filter(|counts| counts.iter().all(|&count| count >= expected)))
    })?;
    ensure!(found == [expected; 2], "{found:?} closes of idle connections are counted");
    Ok(())
}
