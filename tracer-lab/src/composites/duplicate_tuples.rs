//! Two namespaces with the same addresses and ports.

use anyhow::Result;

use crate::composites::steps::{close_unread, request_after_fin};
use crate::composites::testbed::Testbed;
use crate::scenarios::base::IDLE;
use crate::testbed::daemon::DaemonUnderTest;
use crate::testbed::network::{Family, Network};
use crate::testbed::wait::let_pass;
use crate::traffic::connection::Connection;

pub(crate) fn one_races(tracer: &DaemonUnderTest, family: Family) -> Result<()> {
    let nets = twice(family)?;
    let [of_racer, of_other] =
        [Testbed::make_under(tracer, &nets[0])?, Testbed::make_under(tracer, &nets[1])?];
    let [mut racer, mut other] = connected(&nets)?;
    request_after_fin(&mut racer)?;
    other.exchange()?;
    of_racer.end(tracer, &racer, "race-fin-unprocessed")?;
    // It goes on while the tracer knows of the racer, and ends well.
    other.exchange()?;
    other.server_closes();
    other.client_reads_the_end()?;
    other.client_closes();
    of_other.end(tracer, &other, "server-closes")
}

pub(crate) fn both_race(tracer: &DaemonUnderTest, family: Family) -> Result<()> {
    let nets = twice(family)?;
    let [of_first, of_second] =
        [Testbed::make_under(tracer, &nets[0])?, Testbed::make_under(tracer, &nets[1])?];
    let [mut first, mut second] = connected(&nets)?;
    request_after_fin(&mut first)?;
    close_unread(&mut second)?;
    of_first.end(tracer, &first, "race-fin-unprocessed")?;
    of_second.end(tracer, &second, "unread-close-unacked")
}

/// One idle connection in each network, between the same endpoints.
fn connected(nets: &[Network; 2]) -> Result<[Connection<'_>; 2]> {
    let first = Connection::open(&nets[0])?;
    let second = Connection::open_from(&nets[1], first.client_endpoint)?;
    first.exchange()?;
    second.exchange()?;
    let_pass(IDLE);
    Ok([first, second])
}

/// Two networks with the same addresses and port.
fn twice(family: Family) -> Result<[Network; 2]> {
    let first = Network::build(family)?;
    let second = Network::build_for_port(family, first.port)?;
    Ok([first, second])
}
