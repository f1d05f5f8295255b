//! Both sockets on one host: each side is reported once.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::oracle::describe::describe;
use crate::scenarios::base::IDLE;
use crate::testbed::daemon::DaemonUnderTest;
use crate::testbed::network::{Family, Network};
use crate::testbed::reset::Reset;
use crate::testbed::wait::let_pass;
use crate::traffic::ends::Ends;

/// Jiffies, and the time from one step to the next.
const TOLERANCE: Duration = Duration::from_millis(20);

pub(crate) fn close_unread(tracer: &DaemonUnderTest, family: Family) -> Result<()> {
    race(tracer, family, "fin_not_sent", |ends| ends.race_unread(b"next request"))
}

pub(crate) fn request_after_fin(tracer: &DaemonUnderTest, family: Family) -> Result<()> {
    race(tracer, family, "fin_unprocessed", |ends| ends.race_after_fin(b"next request"))
}

fn race(
    tracer: &DaemonUnderTest,
    family: Family,
    crossing: &str,
    race: fn(Ends) -> Result<()>,
) -> Result<()> {
    let net = Network::build(family)?;
    let netns = [net.client.inum()];
    tracer.lines.forget(&netns);
    let (server, idled) = net.client.enter(|| {
        let address: IpAddr = match family {
            Family::V4 | Family::Mapped => Ipv4Addr::LOCALHOST.into(),
            Family::V6 => Ipv6Addr::LOCALHOST.into(),
        };
        let listener = TcpListener::bind((address, 0))?;
        let endpoint = listener.local_addr()?;
        let ends = Ends::local(&listener)?;
        ends.exchange()?;
        let began = Instant::now();
        let_pass(IDLE);
        let idled = began.elapsed();
        race(ends)?;
        Ok((endpoint, idled))
    })?;
    let reported = tracer.lines.resets(&netns, 2);
    let said: Vec<_> = reported.iter().map(describe).collect();
    let one = |direction: &str, role: &str, race: &str| {
        let is = |reset: &&Reset| {
            (reset.direction.as_deref(), reset.role.as_str()) == (Some(direction), role)
                && (reset.cause.as_str(), reset.race.as_deref()) == ("keepalive_race", Some(race))
                && reset.server == Some(server)
        };
        reported
            .iter()
            .find(is)
            .with_context(|| format!("no {race} {direction} by the {role}: {}", said.join(" + ")))
    };
    ensure!(reported.len() == 2, "not one line of each side: {}", said.join(" + "));
    for reset in [one("sent", "server", crossing)?, one("received", "client", crossing)?] {
        let idle = reset.idle_seconds.map(Duration::from_secs_f64);
        let right = idle.is_some_and(|idle| idle.abs_diff(idled) <= TOLERANCE);
        ensure!(right, "it idled for {idled:?}: {}", describe(reset));
    }
    Ok(())
}
