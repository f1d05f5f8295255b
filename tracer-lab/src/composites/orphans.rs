//! More sockets without an application than the host allows: the kernel ends the next one with a RST.

use std::fs;

use anyhow::{Context as _, Result};

use crate::composites::testbed::Testbed;
use crate::oracle::expectation::{BY_SERVER, Line, RECEIVED, SENT};
use crate::scenarios::base::{ROW, idle_connection_after_slow_response};
use crate::scenarios::scenario::Scenario;
use crate::testbed::daemon::DaemonUnderTest;
use crate::testbed::network::{Family, Network};

/// Of the whole host, whatever the namespace (`tcp_too_many_orphans`, include/net/tcp.h).
const LIMIT: &str = "/proc/sys/net/ipv4/tcp_max_orphans";

pub(crate) fn too_many(tracer: &DaemonUnderTest, family: Family) -> Result<()> {
    let net = Network::build(family)?;
    let testbed = Testbed::make_under(tracer, &net)?;
    let mut connection = idle_connection_after_slow_response(&net)?;
    let limit = Limit::set("-1")?;
    connection.server_closes();
    drop(limit);
    connection.client_is_gone()?;
    // Without a reason the kernel's RST looks like that of any close.
    let (cause, mechanism) =
        if tracer.coverage.reasons { ("out_of_resources", "memory") } else { ("after_response", "unknown") };
    let expected = Scenario {
        rsts: BY_SERVER,
        server: Some(Line { cause, mechanism: Some(mechanism), ..SENT }),
        client: Some(Line { cause, errno: Some("EPIPE"), ..RECEIVED }),
        ..ROW
    };
    testbed.end_as(tracer, &connection, &expected)
}

/// The host's limit of orphans, set for a moment.
struct Limit(String);

impl Limit {
    fn set(orphans: &str) -> Result<Self> {
        let before = fs::read_to_string(LIMIT).with_context(|| format!("no {LIMIT}"))?;
        fs::write(LIMIT, orphans)?;
        Ok(Self(before))
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        // It could be written before.
        let _ = fs::write(LIMIT, &self.0);
    }
}
