//! Runs one scenario on one address family and judges it.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::capture::{Capture, Segment};
use super::connection::Connection;
use super::event::Reset;
use super::judge::{View, describe, describe_wire, difference};
use super::net::{Family, Net};
use super::scenario::{Line, Scenario};
use super::tracer::Tracer;
use super::wait::let_pass;
use super::wire::{Side, weigh};

/// Without a tracer to wait for, this long RSTs may still follow the last step.
const LATE_RSTS: Duration = Duration::from_millis(100);

/// A scenario on an address family.
#[derive(Clone, Copy)]
pub struct Case {
    /// What is played.
    pub scenario: &'static Scenario,
    /// The addresses it is played on.
    pub family: Family,
}

/// The judgement over one case, printed as rows of the table.
pub struct Outcome {
    name: String,
    took: Duration,
    /// Why it could not be played to the end.
    broken: Option<String>,
    rows: Vec<Row>,
}

struct Row {
    host: &'static str,
    wire: String,
    tracer: String,
    difference: Option<String>,
}

impl Case {
    /// The scenario's name, with the address family where it is not IPv4.
    #[must_use]
    pub fn name(&self) -> String {
        match self.family {
            Family::V4 => self.scenario.name.to_owned(),
            Family::V6 => format!("{}/v6", self.scenario.name),
            Family::Mapped => format!("{}/mapped", self.scenario.name),
        }
    }

    /// Plays the case and judges it by the wire alone, or with what `tracer` says. Captures are kept in `keep`.
    #[must_use]
    pub fn run(&self, tracer: Option<&Tracer>, keep: Option<&Path>) -> Outcome {
        let began = Instant::now();
        let (rows, broken) = match self.play(tracer, keep) {
            Ok(rows) => (rows, None),
            Err(error) => (Vec::new(), Some(format!("{error:#}"))),
        };
        Outcome {
            name: self.name(),
            took: began.elapsed(),
            broken,
            rows,
        }
    }

    fn play(&self, tracer: Option<&Tracer>, keep: Option<&Path>) -> Result<Vec<Row>> {
        let directory = TempDir::new().context("no temporary directory for the captures")?;
        let net = Net::build(self.family)?;
        let hosts = [
            (Side::Server, &net.server),
            (Side::Standby, &net.standby),
            (Side::Client, &net.client),
        ];
        let mut captures = Vec::new();
        for (_, host) in hosts {
            let file = format!("{}-{}.pcap", self.name().replace('/', "-"), host.name());
            captures.push(Capture::start(
                host,
                keep.unwrap_or(directory.path()).join(file),
            )?);
        }
        let mark = tracer.map_or(0, Tracer::mark);
        // The sockets stay as they are until everything is seen: closing them would be another story.
        let connection = (self.scenario.play)(&net)?;
        let netns = hosts.map(|(_, host)| host.inum());
        let resets = if let Some(tracer) = tracer {
            Some(tracer.resets(mark, &netns, self.scenario.lines()))
        } else {
            let_pass(LATE_RSTS);
            None
        };
        let mut rows = Vec::new();
        for ((side, host), capture) in hosts.into_iter().zip(captures) {
            let of_host = |reset: &Reset| reset.netns == host.inum();
            let resets = resets.as_ref().map(|resets| {
                resets
                    .iter()
                    .filter(|&reset| of_host(reset))
                    .cloned()
                    .collect()
            });
            rows.extend(self.judge(side, &connection, &capture.finish(net.nowhere())?, resets));
        }
        net.cut()?;
        Ok(rows)
    }

    fn judge(
        &self,
        side: Side,
        connection: &Connection,
        segments: &[Segment],
        resets: Option<Vec<Reset>>,
    ) -> Option<Row> {
        let (client, server) = (connection.client_endpoint, connection.server_endpoint);
        let evidence = weigh(segments, client, server, side);
        let expected = self.scenario.line(side);
        let errno = match side {
            Side::Server => connection.server_errno,
            Side::Standby => None,
            Side::Client => connection.client_errno,
        };
        let view = View {
            side,
            client,
            server,
            evidence: &evidence,
            errno,
            resets: resets.as_deref(),
        };
        let difference = difference(expected, self.scenario.rsts, &view);
        // A standby that plays no part, and is not accused of one, needs no row.
        let idle_standby = side == Side::Standby && expected.is_none() && difference.is_none();
        (!idle_standby).then(|| Row {
            host: side.letter(),
            wire: describe_wire(&evidence),
            tracer: resets.map_or("-".to_owned(), |resets| match resets.as_slice() {
                [] => "nothing".to_owned(),
                resets => resets.iter().map(describe).collect::<Vec<_>>().join(" + "),
            }),
            difference,
        })
    }
}

impl Scenario {
    /// What the tracer must say of the host on this side.
    fn line(&self, side: Side) -> Option<&Line> {
        match side {
            Side::Server => self.server.as_ref(),
            Side::Standby => self.standby.as_ref(),
            Side::Client => self.client.as_ref(),
        }
    }

    /// How many lines the tracer must print in all.
    fn lines(&self) -> usize {
        [Side::Server, Side::Standby, Side::Client]
            .into_iter()
            .filter(|&side| self.line(side).is_some())
            .count()
    }
}

impl Side {
    fn letter(self) -> &'static str {
        match self {
            Self::Server => "S",
            Self::Standby => "S2",
            Self::Client => "C",
        }
    }
}

impl Outcome {
    /// Everything is as the scenario expects.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.broken.is_none() && self.rows.iter().all(|row| row.difference.is_none())
    }

    /// How long it took, with building and removing its hosts.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.took
    }

    /// The line above all outcomes.
    #[must_use]
    pub fn header() -> String {
        line("scenario", "host", "wire", "tracer", "verdict")
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(broken) = &self.broken {
            return writeln!(
                out,
                "{}\n    {broken}",
                line(&self.name, "", "", "", "FAIL")
            );
        }
        for row in &self.rows {
            let verdict = if row.difference.is_some() {
                "FAIL"
            } else {
                "ok"
            };
            writeln!(
                out,
                "{}",
                line(&self.name, row.host, &row.wire, &row.tracer, verdict)
            )?;
            if let Some(difference) = &row.difference {
                writeln!(out, "    {difference}")?;
            }
        }
        Ok(())
    }
}

fn line(scenario: &str, host: &str, wire: &str, tracer: &str, verdict: &str) -> String {
    format!("{scenario:<18} {host:<4} {wire:<42} {tracer:<66} {verdict}")
}
