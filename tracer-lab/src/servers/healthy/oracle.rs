//! Whether the tracer said anything of healthy servers that is not so.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::servers::watch::timeout;
use crate::testbed::daemon::DaemonUnderTest;
use crate::testbed::network::Network;
use crate::testbed::scrape::Scrape;

/// How far a timeout that is shown may be from the true one.
const TOLERANCE: f64 = 0.02;

/// What was seen of the servers.
pub(crate) struct Oracle {
    began: Instant,
    netns: [u64; 2],
    truths: [(SocketAddr, Duration); 3],
    looks: u32,
    advice: usize,
    shown: usize,
    /// What should not have been, each said once.
    pub(crate) wrong: Vec<String>,
    resets: BTreeMap<String, usize>,
    idle_closes: Vec<(String, u64)>,
}

impl Oracle {
    pub(crate) fn new(net: &Network, truths: [(SocketAddr, Duration); 3]) -> Self {
        Self {
            began: Instant::now(),
            netns: [net.server.inum(), net.client.inum()],
            truths,
            looks: 0,
            advice: 0,
            shown: 0,
            wrong: Vec::new(),
            resets: BTreeMap::new(),
            idle_closes: Vec::new(),
        }
    }

    /// Asks the tracer for its advice and its timeouts.
    pub(crate) fn poll(&mut self, tracer: &DaemonUnderTest) -> Result<()> {
        let advice = tracer.json("/api/v1/advice")?;
        for (server, _) in self.truths {
            let name = server.to_string();
            let about =
                advice.as_array().context("advice is an array")?.iter().filter(|one| one["server"] == *name);
            for one in about {
                self.advice += 1;
                self.complain(&format!("{} as {}: {}", one["kind"], one["role"], one["text"]));
            }
        }
        let metrics = tracer.metrics()?;
        for (server, truth) in self.truths {
            for role in ["server", "client"] {
                let Some(seconds) = timeout(&metrics, role, server) else { continue };
                self.shown += 1;
                if (seconds / truth.as_secs_f64() - 1.0).abs() > TOLERANCE {
                    self.complain(&format!(
                        "{server} as {role} shows {seconds} s and closes after {truth:?}"
                    ));
                }
            }
        }
        self.looks += 1;
        Ok(())
    }

    fn complain(&mut self, what: &str) {
        if !self.wrong.iter().any(|known| known.ends_with(what)) {
            self.wrong.push(format!("after {:.1} s: {what}", self.began.elapsed().as_secs_f64()));
        }
    }

    /// Counts what the tracer told of these hosts.
    pub(crate) fn sum_up(&mut self, tracer: &DaemonUnderTest) -> Result<()> {
        for reset in tracer.lines.resets(&self.netns, 0) {
            *self.resets.entry(format!("{} {} {}", reset.ended_by, reset.role, reset.cause)).or_default() +=
                1;
        }
        let scrape = Scrape(tracer.metrics()?);
        for (server, _) in self.truths {
            for by in ["server", "client"] {
                let labels =
                    [&format!(r#"server="{server}""#), &*format!(r#"closed_by="{by}""#), r#"role="server""#];
                let count = scrape.sum("tracer_idle_close_seconds_count", &labels)?;
                self.idle_closes.push((format!("{server} by the {by}"), count));
            }
        }
        Ok(())
    }
}

impl fmt::Display for Oracle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "resets told:")?;
        for (kind, count) in &self.resets {
            writeln!(out, "  {kind:<40} {count:>7}")?;
        }
        writeln!(out, "idle connections closed:")?;
        for (kind, count) in &self.idle_closes {
            writeln!(out, "  {kind:<40} {count:>7}")?;
        }
        writeln!(out, "looked {} times: {} advice, {} timeouts shown", self.looks, self.advice, self.shown)?;
        self.wrong.iter().try_for_each(|wrong| writeln!(out, "WRONG {wrong}"))
    }
}
