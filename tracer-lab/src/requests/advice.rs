//! What counted requests add to the advice.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::testbed::daemon::{DaemonUnderTest, RACE_WINDOW};
use crate::testbed::network::{Family, Network, own_port};
use crate::testbed::sockets::listen;
use crate::testbed::wait::{let_pass, until};
use crate::traffic::ends::Ends;
use crate::traffic::exchange::{Manner, at_once, run};

/// When the server closes idle connections.
const TIMEOUT: Duration = Duration::from_millis(500);
/// From one close or race to the next, so that each counts by itself.
const BURST_GAP: Duration = Duration::from_millis(130);
/// More than it takes to infer that, or a limit.
const ENOUGH: usize = 10;
const LIMIT: usize = 5;

/// The advice about `server` of this kind, seen from each end.
fn advice(tracer: &DaemonUnderTest, server: SocketAddr, kind: &str) -> Result<Option<[Value; 2]>> {
    let all: Vec<Value> = serde_json::from_str(&tracer.get("/api/v1/advice")?)?;
    let of = |role: &str| {
        let is = |advice: &&Value| {
            advice["server"] == server.to_string() && advice["kind"] == kind && advice["role"] == role
        };
        all.iter().find(is).cloned()
    };
    Ok(of("server").zip(of("client")).map(Into::into))
}

/// Reuses that come close to the server's timeout are counted from when it is known.
pub fn late_reuses_are_told() -> Result<()> {
    let port = own_port()?;
    let net = Network::build_for_port(Family::V4, port)?;
    let server = net.server_endpoint();
    let tracer = DaemonUnderTest::start_with(&["--requests", "--server-port", &port.to_string()])?;
    let listener = listen(&net, &net.server, 16)?;
    let open = || (0..ENOUGH).map(|_| Ends::open(&net, &listener, server)).collect::<Result<Vec<_>>>();
    let exchange = |rest: Duration| (rest, Manner::Plain);

    at_once(open()?.into_iter().zip(1..), |(ends, number)| {
        let_pass(BURST_GAP * number);
        ends.exchange_as(Manner::Plain)?;
        let_pass(TIMEOUT);
        drop(ends.server);
        ensure!(ends.client.peek(&mut [0])? == 0, "the server says more");
        Ok(())
    })?;
    let evidence = |field: &str, expected: u64| {
        let advice = advice(&tracer, server, "server_closes_first")?;
        Ok(advice.filter(|both| both.iter().all(|advice| advice["evidence"][field] == expected)))
    };
    until("the timeout to be known", || evidence("reuses", 0))?;

    // One is early, two are later than 80 % of the timeout.
    let rests = [Duration::ZERO, TIMEOUT / 2, TIMEOUT * 9 / 10, TIMEOUT];
    let reused = open()?;
    run(&reused, &vec![rests.map(exchange).to_vec(); ENOUGH])?;
    let expected = u64::try_from(ENOUGH)?;
    let both = until("the late reuses to be reported", || evidence("late_reuses", 2 * expected))?;
    for advice in both {
        ensure!(advice["evidence"]["reuses"] == 3 * expected, "{advice:#}");
        let text = advice["text"].as_str().unwrap_or_default();
        ensure!(text.contains("20 of 30 reuses came when it had been idle for 80 %"), "{text}");
    }
    tracer.stop()
}

/// A server that closes behind the fifth response, and clients that send a sixth request all the same.
pub fn request_limit_is_found(counting: bool) -> Result<()> {
    let port = own_port()?;
    let net = Network::build_for_port(Family::V4, port)?;
    let server = net.server_endpoint();
    let netns = [net.server.inum(), net.client.inum()];
    let port = port.to_string();
    let mut flags = vec!["--server-port", &port, "--race-window", RACE_WINDOW];
    flags.extend(counting.then_some("--requests"));
    let tracer = DaemonUnderTest::start_with(&flags)?;
    let listener = listen(&net, &net.server, 16)?;
    for _ in 0..ENOUGH {
        let_pass(BURST_GAP);
        let ends = Ends::open(&net, &listener, server)?;
        (0..LIMIT).try_for_each(|_| ends.exchange_as(Manner::Plain))?;
        ends.race_after_fin(b"next request")?;
    }
    for reset in tracer.lines.resets(&netns, 2 * ENOUGH) {
        let expected = counting.then_some(u32::try_from(LIMIT)?);
        ensure!(reset.cause == "keepalive_race" && reset.requests == expected, "{reset:?}");
    }
    let both = until("the limit to be found", || advice(&tracer, server, "request_limit"))?;
    for advice in both {
        ensure!(advice["evidence"]["requests_per_connection"] == LIMIT, "{advice:#}");
    }
    tracer.stop()
}
