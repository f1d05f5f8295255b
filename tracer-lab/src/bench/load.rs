//! The load: wrk against nginx.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::bench::testbed::{PORT, SERVER, Testbed};

/// Connections at once.
const CONNECTIONS: &str = "32";

/// How clients use their connections.
pub(crate) struct Load {
    /// Its name in the table.
    pub(crate) name: &'static str,
    header: Option<&'static str>,
}

/// Both kinds.
pub(crate) const LOADS: [Load; 2] = [
    Load { name: "keep-alive", header: None },
    Load { name: "connection per request", header: Some("Connection: close") },
];

impl Load {
    /// Requests per second over `seconds`.
    pub(crate) fn run(&self, testbed: &Testbed, seconds: u64) -> Result<f64> {
        let mut wrk = Command::new("wrk");
        wrk.args(["--threads", "2", "--connections", CONNECTIONS, "--duration", &format!("{seconds}s")]);
        if let Some(header) = self.header {
            wrk.args(["--header", header]);
        }
        wrk.arg(format!("http://{SERVER}:{PORT}/")).stdin(Stdio::null());
        let output = testbed.link.client.enter(|| wrk.output().context("cannot run wrk"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let failed = ["Socket errors", "Non-2xx"].iter().any(|words| text.contains(words));
        ensure!(output.status.success() && !failed, "wrk met errors: {text}");
        let rate = text.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"));
        let rate = rate.and_then(|rate| rate.trim().parse().ok());
        rate.with_context(|| format!("wrk tells no requests per second: {text}"))
    }
}
