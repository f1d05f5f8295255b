//! A tracer that was started after the connection: the kernel remembers what the tracer has not seen.

use anyhow::Result;

use crate::composites::steps;
use crate::composites::testbed::Testbed;
use crate::scenarios::base::IDLE;
use crate::testbed::daemon::DaemonUnderTest;
use crate::testbed::network::{Family, Network};
use crate::testbed::wait::let_pass;
use crate::traffic::connection::Connection;

pub(crate) fn close_unread(_: &DaemonUnderTest, family: Family) -> Result<()> {
    late(family, steps::close_unread, "unread-close-unacked")
}

pub(crate) fn request_after_fin(_: &DaemonUnderTest, family: Family) -> Result<()> {
    late(family, steps::request_after_fin, "race-fin-unprocessed")
}

fn late(family: Family, race: fn(&mut Connection) -> Result<()>, like: &str) -> Result<()> {
    let net = Network::build(family)?;
    let testbed = Testbed::make(&net)?;
    let mut connection = Connection::open(&net)?;
    connection.exchange()?;
    let tracer = DaemonUnderTest::start()?;
    let_pass(IDLE);
    race(&mut connection)?;
    testbed.end(&tracer, &connection, like)?;
    tracer.stop()
}
