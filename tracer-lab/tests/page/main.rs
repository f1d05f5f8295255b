//! The live page in a real browser, in front of the real daemon.

#[path = "../daemon/network.rs"]
#[expect(dead_code, reason = "the daemon's tests need more of it")]
mod network;

mod browser;
mod live;
mod looks;
mod picture;
mod recorded;
mod stand_in;
mod strings;
mod traffic;

use anyhow::Result;
use tracer_lab::testbed::http;

use network::Network;
use tracer_lab::testbed::daemon::{DaemonUnderTest, command};

/// A daemon that sees nothing but the network's server.
fn daemon(network: &Network) -> Result<DaemonUnderTest> {
    let port = network.port.to_string();
    DaemonUnderTest::of(command(&[], &["--events", "off", "--request-lines", "--server-port", &port]))
}

/// What the API says.
fn api(daemon: &DaemonUnderTest, path: &str) -> Result<serde_json::Value> {
    Ok(serde_json::from_slice(&http::get(daemon.port, path)?.body)?)
}

/// Whether there is advice on the server; its clients are on the same host, so it is said once.
fn has_advice(daemon: &DaemonUnderTest) -> Result<bool> {
    Ok(api(daemon, "/api/v1/advice")?.as_array().is_some_and(|advice| advice.len() == 1))
}
