//! The HTTP side as the contract has it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use flate2::read::GzDecoder;
use serde_json::Value;
use socket2::SockRef;
use tracer_lab::testbed::http::{Response, ask, get};
use tracer_lab::testbed::wait::until;

use crate::network::Network;
use crate::turn;
use tracer_lab::testbed::daemon::{DaemonUnderTest, command};
use tracer_lab::testbed::scrape::Scrape;

const METRICS: &str = "text/plain; version=0.0.4";
const PLAIN: &str = "text/plain; charset=utf-8";

fn request(daemon: &DaemonUnderTest, method: &str, path: &str, headers: &str) -> Result<Response> {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
    ask(daemon.port, &request).with_context(|| format!("{method} {path}"))
}

#[test]
fn every_path_has_its_status_and_type() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    let daemon = DaemonUnderTest::of(command(&[], &[]))?;
    for (path, status, content_type) in [
        ("/", 200, "text/html; charset=utf-8"),
        ("/metrics", 200, METRICS),
        ("/metrics?name[]=up", 200, METRICS),
        ("/-/healthy", 200, PLAIN),
        ("/-/ready", 200, PLAIN),
        ("/api/v1/resets", 200, "application/json"),
        ("/api/v1/resets?limit=0", 200, "application/json"),
        ("/api/v1/resets?limit=-1", 400, PLAIN),
        ("/api/v1/resets?limit=ten", 400, PLAIN),
        ("/api/v1/resets?limit=", 400, PLAIN),
        ("/api/v1/resets?limit=99999999999999999999999", 400, PLAIN),
        ("/api/v1/resets?order=asc", 400, PLAIN),
        ("/api/v1/incidents", 200, "application/json"),
        ("/api/v1/incidents?server=[::1]:80&cause=never_read&role=client&limit=5", 200, "application/json"),
        ("/api/v1/incidents?server=%5B%3A%3A1%5D%3A80", 200, "application/json"),
        ("/api/v1/incidents?server=localhost:80", 400, PLAIN),
        ("/api/v1/incidents?cause=bad_luck", 400, PLAIN),
        ("/api/v1/incidents?role=proxy", 400, PLAIN),
        ("/api/v1/incidents?ended_by=fin", 400, PLAIN),
        ("/api/v1/advice?cause=refused", 400, PLAIN),
        ("/metrics/", 404, PLAIN),
        ("/../etc/passwd", 404, PLAIN),
        ("/favicon.ico", 404, PLAIN),
    ] {
        let answer = request(&daemon, "GET", path, "")?;
        assert_eq!((answer.status, answer.header("content-type")), (status, Some(content_type)), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        let length = answer.header("content-length").map(str::parse);
        assert_eq!(length, Some(Ok(answer.body.len())), "{path}");

        let head = request(&daemon, "HEAD", path, "")?;
        assert_eq!((head.status, head.header("content-type")), (status, Some(content_type)), "HEAD {path}");
        assert!(head.body.is_empty(), "HEAD {path} has a body: {head:?}");

        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            let refusal = request(&daemon, method, path, "")?;
            assert_eq!(
                (refusal.status, refusal.header("allow")),
                (405, Some("GET, HEAD")),
                "{method} {path}"
            );
        }
    }
    Ok(())
}

#[test]
fn who_asks_by_a_name_that_is_not_ours_gets_metrics_only() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    let daemon = DaemonUnderTest::of(command(&[], &["--web-host", "tracer.example,tracer.test"]))?;
    for (host, meant) in [
        ("127.0.0.1", true),
        ("[::1]:8000", true),
        ("localhost:8000", true),
        ("tracer.example", true),
        ("TRACER.test:8000", true),
        ("evil.example", false),
        ("tracer.example.evil.example", false),
        ("", false),
    ] {
        for (path, status) in [("/", 421), ("/api/v1/incidents", 421), ("/metrics", 200), ("/-/healthy", 200)]
        {
            let answer = ask(daemon.port, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))?;
            assert_eq!(answer.status, if meant { 200 } else { status }, "{host} {path}");
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{host} {path}");
        }
    }
    Ok(())
}

#[test]
fn requests_that_two_servers_could_understand_in_two_ways_are_refused() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    let daemon = DaemonUnderTest::of(command(&[], &[]))?;
    for (headers, status) in [
        ("", 400),
        ("Host: localhost\r\nHost: localhost\r\n", 400),
        ("Host: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Host: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n", 400),
        ("Host: localhost\r\nContent-Length: 3\r\nContent-Length: 4\r\n", 400),
        ("Host: localhost\r\n", 200),
    ] {
        let answer = ask(daemon.port, &format!("GET /metrics HTTP/1.1\r\n{headers}\r\n"))?;
        assert_eq!(answer.status, status, "{headers:?}");
    }
    Ok(())
}

#[test]
fn its_own_connections_are_no_incidents() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    let [one, other] = [(); 2].map(|()| DaemonUnderTest::of(command(&[], &["--events", "off"])));
    let (one, other) = (one?, other?);
    let address = |daemon: &DaemonUnderTest| format!("127.0.0.1:{}", daemon.port);
    let reset = |daemon: &DaemonUnderTest| -> Result<()> {
        let stream = TcpStream::connect(address(daemon))?;
        Ok(SockRef::from(&stream).set_linger(Some(Duration::ZERO))?)
    };
    for (own, other) in [(&one, &other), (&other, &one)] {
        let incidents = |server: &str| -> Result<usize> {
            let told = own.json(&format!("/api/v1/incidents?server={server}"))?;
            Ok(told.as_array().map_or(0, Vec::len))
        };
        reset(own)?;
        // It comes after that of its own, and both of its ends are seen.
        reset(other)?;
        until("the other's reset to be told", || Ok((incidents(&address(other))? >= 2).then_some(())))?;
        assert_eq!(incidents(&address(own))?, 0);
        assert!(!own.scrape()?.0.contains(&address(own)), "its own port has series");
    }
    Ok(())
}

#[test]
fn metrics_are_compressed_for_those_who_ask() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    // What others reset would be a family that was not there before.
    let network = Network::new()?;
    let daemon = DaemonUnderTest::of(command(&[], &["--server-port", &network.port.to_string()]))?;
    let plain = Scrape::take(daemon.port)?;
    for (accepted, expected) in
        [("gzip", true), ("br\r\nAccept-Encoding: GZIP", true), ("gzip;Q=0, *", false), ("identity", false)]
    {
        let answer = request(&daemon, "GET", "/metrics", &format!("Accept-Encoding: {accepted}\r\n"))?;
        assert_eq!(answer.header("content-type"), Some(METRICS), "{accepted}");
        assert_eq!(answer.header("vary"), Some("accept-encoding"), "{accepted}");
        assert_eq!(answer.header("content-encoding"), expected.then_some("gzip"), "{accepted}");
        let mut text = String::new();
        if expected {
            GzDecoder::new(&answer.body[..]).read_to_string(&mut text)?;
        } else {
            text = answer.text()?;
        }
        assert_eq!(Scrape(text).families(), plain.families(), "{accepted}");
    }
    Ok(())
}

#[test]
fn incidents_are_listed_newest_first_up_to_the_limit_as_far_as_they_are_asked_for() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    let network = Network::new()?;
    let flags = ["--server-port", &network.port.to_string(), "--recent", "6", "--events", "off"];
    let daemon = DaemonUnderTest::of(command(&[], &flags))?;
    network.refuse(0..4)?;
    let list = |query: &str| -> Result<Vec<Value>> {
        let list: Vec<Value> = serde_json::from_slice(&get(daemon.port, &format!("/api/v1/{query}"))?.body)?;
        ensure!(list.iter().all(|reset| reset["netns"] == network.inum), "resets of others: {list:?}");
        Ok(list)
    };
    let server = |index| network.server(index).to_string();
    // The last ones to come are those of both ends of the last: eight resets, of which six are kept.
    let all = until("the last two resets", || {
        let all = list("incidents")?;
        let both = all.len() == 6 && all[..2].iter().all(|incident| incident["server"] == server(3));
        Ok(both.then_some(all))
    })?;
    let servers: Vec<_> = all.iter().map(|reset| reset["server"].as_str().unwrap_or_default()).collect();
    let expected = [3, 3, 2, 2, 1, 1].map(server);
    assert_eq!(servers, expected);
    assert!(all.is_sorted_by(|newer, older| newer["time"].as_str() >= older["time"].as_str()), "{all:?}");
    for limit in [0, 1, 3, 6, 7, 1_000_000] {
        assert_eq!(list(&format!("incidents?limit={limit}"))?, all[..limit.min(6)], "limit {limit}");
    }
    // Every one of them is a RST for a port where nobody listens, seen by the client and by the server.
    for (query, expected) in [
        ("resets".to_owned(), &all[..]),
        ("incidents?cause=refused".to_owned(), &all[..]),
        ("incidents?cause=never_read".to_owned(), &[]),
        (format!("incidents?server={}", server(2)), &all[2..4]),
        (format!("resets?server={}&limit=1", server(2)), &all[2..3]),
        (format!("incidents?server={}", server(0)), &[]),
    ] {
        assert_eq!(list(&query)?, expected, "{query}");
    }
    let clients: Vec<_> = all.iter().filter(|incident| incident["role"] == "client").cloned().collect();
    assert_eq!(clients.len(), 3, "{all:?}");
    assert_eq!(list("incidents?role=client")?, clients);
    Ok(())
}

#[test]
fn promtool_has_nothing_to_say_about_the_metrics() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    let daemon = DaemonUnderTest::of(command(&[], &["--events", "off"]))?;
    let network = Network::new()?;
    network.refuse(0..1)?;
    network.close_idle_connection()?;
    let families = ["tracer_resets_sent_total", "tracer_resets_received_total", "tracer_idle_close_seconds"];
    let scrape = until("the resets to be counted", || {
        let scrape = Scrape::take(daemon.port)?;
        let has = |family: &&str| scrape.families().iter().any(|found| found.starts_with(*family));
        Ok(families.iter().all(has).then_some(scrape))
    })?;

    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run promtool (Debian package prometheus)")?;
    promtool.stdin.take().context("promtool has no stdin")?.write_all(scrape.0.as_bytes())?;
    let output = promtool.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
    Ok(())
}
