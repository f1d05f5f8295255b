//! The metrics against the clients' own count and the captures.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use fastrand::Rng;
use tempfile::TempDir;

use crate::oracle::exchanges;
use crate::testbed::capture::Capture;
use crate::testbed::daemon::DaemonUnderTest;
use crate::testbed::network::{Family, Network, own_port};
use crate::testbed::scrape::Scrape;
use crate::testbed::sockets::{listen, listen_on};
use crate::traffic::ends::Ends;
use crate::traffic::exchange::{Manner, plan, run};

const CONNECTIONS: usize = 8;
const SEED: u64 = 7;
/// Applications read a moment after what the capture saw; on a busy machine the moment is longer.
const SOON: Duration = Duration::from_millis(25);

/// Requests, and how long connections had idled when they were used again, on both ends.
pub fn all_count_the_same(family: Family) -> Result<()> {
    let port = own_port()?;
    let net = Network::build_for_port(family, port)?;
    let server = net.server_endpoint();
    let elsewhere = SocketAddr::new(server.ip(), own_port()?);
    let directory = TempDir::new().context("no temporary directory for the captures")?;
    let captures = [
        ("server", Capture::start(&net.server, directory.path().join("server.pcap"))?),
        ("client", Capture::start(&net.client, directory.path().join("client.pcap"))?),
    ];
    let tracer = DaemonUnderTest::start_with(&["--requests", "--server-port", &port.to_string()])?;
    let (listener, other) =
        (listen(&net, &net.server, 16)?, listen_on(&net, &net.server, elsewhere.port(), 16)?);

    let mut random = Rng::with_seed(SEED);
    let plans: Vec<_> = (1..=CONNECTIONS).map(|number| plan(&mut random, number.div_ceil(2))).collect();
    let open = |_| Ends::open(&net, &listener, server);
    let connections = (0..CONNECTIONS).map(open).collect::<Result<Vec<_>>>()?;
    run(&connections, &plans)?;
    let unasked = Ends::open(&net, &other, elsewhere)?;
    (0..3).try_for_each(|_| unasked.exchange_as(Manner::Plain))?;

    let scrape = Scrape(tracer.metrics()?);
    ensure!(!scrape.0.contains(&elsewhere.to_string()), "port {} was not asked for", elsewhere.port());
    let own_count: usize = plans.iter().map(Vec::len).sum();
    for (role, capture) in captures {
        let segments = capture.finish_complete(net.nowhere())?;
        let of = |ends: &Ends| exchanges::requests(&segments, ends.endpoint, server);
        let requests: Vec<_> = connections.iter().flat_map(of).collect();
        ensure!(
            requests.len() == own_count,
            "the capture shows {} requests, not {own_count}",
            requests.len()
        );
        let idle: Vec<_> = requests.into_iter().flatten().collect();
        agree(&scrape, &format!("role=\"{role}\",server=\"{server}\""), own_count, &idle)?;
    }
    tracer.stop()
}

/// The series with these labels say what the wire shows.
fn agree(scrape: &Scrape, labels: &str, requests: usize, idle: &[Duration]) -> Result<()> {
    let counted = scrape.value(&format!("tracer_requests_total{{{labels}}}"))?;
    ensure!(counted == requests as u64, "{labels}: {counted} requests are counted, not {requests}");
    let reuses = scrape.value(&format!("tracer_reuse_idle_seconds_count{{{labels}}}"))?;
    ensure!(reuses == idle.len() as u64, "{labels}: {reuses} reuses are counted, not {}", idle.len());

    let on_the_wire: f64 = idle.iter().map(Duration::as_secs_f64).sum();
    let sum = scrape.seconds(&format!("tracer_reuse_idle_seconds_sum{{{labels}}}"))?;
    ensure!(
        (sum - on_the_wire).abs() <= on_the_wire / 100.0,
        "{labels}: {on_the_wire:.4} s idle on the wire, {sum:.4} s counted"
    );
    let mut bounds = 0;
    let prefix = format!("tracer_reuse_idle_seconds_bucket{{{labels},le=\"");
    for line in scrape.0.lines().filter_map(|line| line.strip_prefix(&prefix)) {
        let (bound, count) = line.split_once("\"} ").context("a bucket without a bound")?;
        let bound: f64 = bound.parse()?;
        let within = |more: f64| idle.iter().filter(|idle| idle.as_secs_f64() <= bound + more).count();
        let (least, most) = (within(-SOON.as_secs_f64()), within(SOON.as_secs_f64()));
        ensure!((least..=most).contains(&count.parse()?), "{labels}: {count} within {bound} s, not {least}");
        bounds += 1;
    }
    ensure!(bounds == 27, "{labels}: {bounds} buckets");
    Ok(())
}

/// With room for one series, all but one server count as `other`.
pub fn without_room_the_rest_is_other() -> Result<()> {
    let ports = [own_port()?, own_port()?];
    let net = Network::build_for_port(Family::V4, ports[0])?;
    let [first, second] = ports.map(|port| port.to_string());
    let tracer = DaemonUnderTest::start_with(&[
        "--requests",
        "--max-series",
        "1",
        "--server-port",
        &first,
        "--server-port",
        &second,
    ])?;
    for (port, exchanges) in [(ports[0], 3), (ports[1], 4)] {
        let listener = listen_on(&net, &net.server, port, 16)?;
        let ends = Ends::open(&net, &listener, SocketAddr::new(net.server_endpoint().ip(), port))?;
        (0..exchanges).try_for_each(|_| ends.exchange_as(Manner::Plain))?;
    }
    let scrape = Scrape(tracer.metrics()?);
    let count = |role: &str, server: &str| {
        scrape.sum("tracer_requests_total", &[&format!("role=\"{role}\",server=\"{server}")])
    };
    // The server read the first request before the client read its response.
    let found = [
        count("server", &format!("{}\"", net.server_endpoint()))?,
        count("server", "other\"")?,
        count("client", "other\"")?,
        scrape.sum("tracer_requests_total", &[])?,
    ];
    ensure!(found == [3, 4, 7, 14], "{found:?}");
    tracer.stop()
}

/// Neither metrics nor probes.
pub fn without_the_flag_nothing_is_counted() -> Result<()> {
    let tracer = DaemonUnderTest::start_with(&[])?;
    let metrics = tracer.metrics()?;
    for name in ["tracer_requests", "tracer_reuse", "tcp_rcv_space_adjust", "tcp_destroy_sock"] {
        ensure!(!metrics.contains(name), "{name} is in the metrics");
    }
    tracer.stop()
}
