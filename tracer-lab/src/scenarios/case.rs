//! Runs one scenario on one address family and compares what is seen.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::oracle::describe::{describe, describe_wire};
use crate::oracle::difference::{View, difference};
use crate::oracle::evidence::{Side, weigh};
use crate::oracle::expectation::{Line, Rsts};
use crate::scenarios::outcome::{Outcome, Row, Watched};
use crate::scenarios::scenario::Scenario;
use crate::testbed::capture::{Capture, Segment};
use crate::testbed::checkpoint::now_ns;
use crate::testbed::coverage::Coverage;
use crate::testbed::daemon::DaemonUnderTest;
use crate::testbed::network::{Family, Network};
use crate::testbed::reset::Reset;
use crate::testbed::wait::{TooSlow, let_pass};
use crate::traffic::connection::Connection;

/// Without a tracer to wait for, this long RSTs may still follow the last step.
const LATE_RSTS: Duration = Duration::from_millis(100);

/// How often a case is run again for which the machine was too slow.
const AGAIN: usize = 9;

/// A scenario on an address family.
#[derive(Clone, Copy)]
pub struct Case {
    /// What is run.
    pub scenario: &'static Scenario,
    /// The addresses it is run on.
    pub family: Family,
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

    /// Runs the case and judges it by the wire alone, or with what `tracer` says. Captures are kept in `keep`.
    #[must_use]
    pub fn run(&self, tracer: Option<&DaemonUnderTest>, keep: Option<&Path>) -> Outcome {
        let mut too_slow = Vec::new();
        loop {
            let mut watched = Watched::default();
            let rows = self.run_once(tracer, keep, &mut watched);
            match &rows {
                Err(error) if error.is::<TooSlow>() && too_slow.len() < AGAIN => {
                    too_slow.push(format!("{error:#}"));
                }
                _ => return Outcome { name: self.name(), rows, watched, too_slow },
            }
        }
    }

    fn run_once(
        &self,
        tracer: Option<&DaemonUnderTest>,
        keep: Option<&Path>,
        watched: &mut Watched,
    ) -> Result<Vec<Row>> {
        let directory = TempDir::new().context("no temporary directory for the captures")?;
        let net = Network::build(self.family)?;
        let hosts = [(Side::Server, &net.server), (Side::Standby, &net.standby), (Side::Client, &net.client)];
        let mut captures = Vec::new();
        for (_, host) in hosts {
            let file = format!("{}-{}.pcap", self.name().replace('/', "-"), host.name());
            captures.push(Capture::start(host, keep.unwrap_or(directory.path()).join(file))?);
        }
        let netns = hosts.map(|(_, host)| host.inum());
        watched.netns = netns.to_vec();
        watched.since_ns = now_ns()?;
        if let Some(tracer) = tracer {
            tracer.lines.forget(&netns);
        }
        // The sockets stay as they are until everything is seen: closing them would be another scenario.
        let connection = (self.scenario.run)(&net)?;
        let resets = if let Some(tracer) = tracer {
            Some(tracer.lines.resets(&netns, self.scenario.lines()))
        } else {
            let_pass(LATE_RSTS);
            None
        };
        watched.until_ns = now_ns()?;
        watched.lines = resets.clone().unwrap_or_default();
        let mut rows = Vec::new();
        for ((side, host), capture) in hosts.into_iter().zip(captures) {
            let seen = Seen {
                side,
                netns: host.inum(),
                segments: &capture.finish(net.nowhere())?,
                resets: resets.as_deref(),
                coverage: tracer.map_or(Coverage::WHOLE, |tracer| tracer.coverage),
            };
            rows.extend(self.compare(&connection, &seen));
        }
        net.cut()?;
        Ok(rows)
    }

    fn compare(&self, connection: &Connection, seen: &Seen) -> Option<Row> {
        let &Seen { side, coverage, .. } = seen;
        let (client, server) = (connection.client_endpoint, connection.server_endpoint);
        let evidence = weigh(seen.segments, client, server);
        let expected = self.scenario.line(side);
        let errno = match side {
            Side::Server => connection.server_errno,
            Side::Standby => None,
            Side::Client => connection.client_errno,
        };
        let (resets, others): (Vec<_>, Vec<_>) =
            seen.resets.unwrap_or_default().iter().cloned().partition(|reset| reset.netns == seen.netns);
        let view = View {
            side,
            client,
            server,
            evidence: &evidence,
            errno,
            resets: seen.resets.map(|_| resets.as_slice()),
            twin: others.first(),
            read: connection.last_request_is_read(),
            coverage,
        };
        let difference = difference(expected, self.scenario.rsts(side), &view);
        // A standby that runs no part, and is not accused of one, needs no row.
        let idle_standby = side == Side::Standby && expected.is_none() && difference.is_none();
        (!idle_standby).then(|| Row {
            side,
            wire: describe_wire(&evidence),
            tracer: match (seen.resets, resets.as_slice()) {
                (None, _) => "-".to_owned(),
                (_, []) => "nothing".to_owned(),
                (_, resets) => resets.iter().map(describe).collect::<Vec<_>>().join(" + "),
            },
            difference,
            unseen: expected.is_some_and(|line| !coverage.shows(line)),
        })
    }
}

/// What is seen of one host.
struct Seen<'a> {
    side: Side,
    netns: u64,
    segments: &'a [Segment],
    /// What the tracer said of all hosts, if it was asked.
    resets: Option<&'a [Reset]>,
    coverage: Coverage,
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

    /// The RST segments that must be on the wire at this side; whatever there is at a standby that runs no part.
    pub(crate) fn rsts(&self, side: Side) -> Option<Rsts> {
        match (self.line(side), side) {
            (Some(_), _) => Some(self.rsts),
            (None, Side::Standby) => None,
            (None, _) => Some(self.silent_rsts),
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
