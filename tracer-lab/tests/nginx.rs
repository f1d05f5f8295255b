//! nginx's error log, the capture and the tracer agree about every keep-alive race.

use anyhow::Result;
use tracer_lab::testbed::daemon::DaemonUnderTest;
use tracer_lab::testbed::permit::may_run;

#[test]
fn every_race_that_nginx_loses_is_explained() -> Result<()> {
    if !may_run("nginx")? {
        return Ok(());
    }
    let tracer = DaemonUnderTest::start()?;
    let tally = tracer_lab::proxy::race_with_nginx(&tracer)?;
    println!("{tally}");
    tracer.stop()
}
