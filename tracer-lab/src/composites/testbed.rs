//! A network under a tracer, captured on both hosts, and the judgement over its connections.

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::oracle::describe::describe;
use crate::oracle::difference::{View, difference};
use crate::oracle::evidence::{Side, weigh};
use crate::oracle::expectation::Line;
use crate::scenarios;
use crate::scenarios::scenario::Scenario;
use crate::testbed::capture::{Capture, Segment};
use crate::testbed::daemon::DaemonUnderTest;
use crate::testbed::network::Network;
use crate::testbed::reset::Reset;
use crate::traffic::connection::Connection;

pub(crate) struct Testbed<'a> {
    net: &'a Network,
    server: Capture<'a>,
    client: Capture<'a>,
    _directory: TempDir,
}

impl<'a> Testbed<'a> {
    pub(crate) fn make(net: &'a Network) -> Result<Self> {
        let directory = TempDir::new().context("no temporary directory for the captures")?;
        Ok(Self {
            net,
            server: Capture::start(&net.server, directory.path().join("server.pcap"))?,
            client: Capture::start(&net.client, directory.path().join("client.pcap"))?,
            _directory: directory,
        })
    }

    /// The same for a tracer that may have met the namespaces' numbers before.
    pub(crate) fn make_under(tracer: &DaemonUnderTest, net: &'a Network) -> Result<Self> {
        let testbed = Self::make(net)?;
        tracer.lines.forget(&testbed.netns());
        Ok(testbed)
    }

    fn netns(&self) -> [u64; 2] {
        [self.net.server.inum(), self.net.client.inum()]
    }

    /// Takes the lines about the two hosts; an error if there are not `count` of them.
    pub(crate) fn take(&self, tracer: &DaemonUnderTest, count: usize) -> Result<Vec<Reset>> {
        let resets = tracer.lines.resets(&self.netns(), count);
        tracer.lines.forget(&self.netns());
        let said: Vec<_> = resets.iter().map(describe).collect();
        ensure!(resets.len() == count, "{count} lines expected, not {}: {}", said.len(), said.join(" + "));
        Ok(resets)
    }

    /// Of this connection the wire and the tracer show the same as in the scenario `like`, and nothing else is told of
    /// the hosts.
    pub(crate) fn end(self, tracer: &DaemonUnderTest, connection: &Connection, like: &str) -> Result<()> {
        let scenario = scenarios::all().find(|scenario| scenario.name == like);
        self.end_as(tracer, connection, scenario.context("there is no such scenario")?)
    }

    /// The same with a scenario that is not in the table.
    pub(crate) fn end_as(
        self,
        tracer: &DaemonUnderTest,
        connection: &Connection,
        scenario: &Scenario,
    ) -> Result<()> {
        let Scenario { server, client, .. } = scenario;
        let resets = self.take(tracer, [server, client].into_iter().flatten().count())?;
        let compare = |side, line: Option<&Line>, netns, errno, segments: &[Segment]| {
            let evidence = weigh(segments, connection.client_endpoint, connection.server_endpoint);
            let (resets, others): (Vec<_>, Vec<_>) =
                resets.iter().cloned().partition(|reset| reset.netns == netns);
            difference(
                line,
                scenario.rsts(side),
                &View {
                    side,
                    client: connection.client_endpoint,
                    server: connection.server_endpoint,
                    evidence: &evidence,
                    errno,
                    resets: Some(&resets),
                    twin: others.first(),
                    read: connection.last_request_is_read(),
                    coverage: tracer.coverage,
                },
            )
        };
        let [on_server, on_client] = self.netns();
        let segments = [self.server.finish(self.net.nowhere())?, self.client.finish(self.net.nowhere())?];
        let differences = [
            compare(Side::Server, server.as_ref(), on_server, connection.server_errno, &segments[0]),
            compare(Side::Client, client.as_ref(), on_client, connection.client_errno, &segments[1]),
        ];
        let differences: Vec<_> = differences.into_iter().flatten().collect();
        self.net.cut()?;
        ensure!(differences.is_empty(), "{}", differences.join("; "));
        Ok(())
    }
}
