//! The same two endpoints again.

use anyhow::{Result, ensure};

use crate::composites::steps::close_unread;
use crate::composites::testbed::Testbed;
use crate::scenarios::base::{IDLE, idle_connection};
use crate::testbed::daemon::DaemonUnderTest;
use crate::testbed::network::{Family, Network};
use crate::testbed::wait::let_pass;

pub(crate) fn after_reset(tracer: &DaemonUnderTest, family: Family) -> Result<()> {
    let net = Network::build(family)?;
    let testbed = Testbed::make_under(tracer, &net)?;
    let mut first = idle_connection(&net)?;
    close_unread(&mut first)?;
    let reported = testbed.take(tracer, 2)?;
    ensure!(reported.iter().all(|reset| reset.cause == "keepalive_race"), "{reported:?}");

    let mut second = first.reopen()?;
    second.exchange()?;
    let_pass(IDLE);
    second.server_closes();
    second.client_reads_the_end()?;
    second.client_closes();
    testbed.take(tracer, 0)?;

    let mut third = second.reopen()?;
    third.exchange()?;
    let_pass(IDLE);
    close_unread(&mut third)?;
    testbed.end(tracer, &third, "unread-close-reused-port")
}
