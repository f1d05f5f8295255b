//! The two articles that the project began with: their experiments, and what the tracer says of them.

use std::time::Duration;

use anyhow::Result;
use tracer_lab::proxy::articles::{Lost, nginx_before_node, pause_across_the_close};
use tracer_lab::testbed::daemon::DaemonUnderTest;
use tracer_lab::testbed::permit::may_run;

/// Every failure is a race at both ends, and nothing else is reported.
fn all_are_races(lost: &Lost) {
    println!("{lost}");
    assert!(lost.failed > 0, "no request met a close");
    assert_eq!(lost.races, [lost.failed; 2], "{lost}");
    assert!(lost.others.is_empty(), "{:?}", lost.others);
    assert!(lost.advice.iter().any(|text| text.contains("let the server wait")), "{lost}");
}

#[test]
fn a_pause_that_walks_across_the_close_races_as_the_first_article_found() -> Result<()> {
    if !may_run("node")? {
        return Ok(());
    }
    let tracer = DaemonUnderTest::start_for_lab(&["--server-port", "8000"])?;
    all_are_races(&pause_across_the_close(&tracer)?);
    tracer.stop()
}

#[test]
fn nginx_fails_until_node_keeps_connections_for_longer_as_the_second_article_found() -> Result<()> {
    if !may_run("nginx")? || !may_run("node")? {
        return Ok(());
    }
    let tracer = DaemonUnderTest::start_for_lab(&["--server-port", "8001"])?;
    let (lost, rest) = nginx_before_node(&tracer, Duration::from_millis(500), None)?;
    all_are_races(&lost);
    tracer.stop()?;

    // The article's remedy, and what the advice says: longer than nginx keeps them, which is for 60 s.
    let tracer = DaemonUnderTest::start_for_lab(&["--server-port", "8001"])?;
    let (lost, _) = nginx_before_node(&tracer, Duration::from_secs(61), Some(rest))?;
    println!("{lost}");
    assert_eq!((lost.failed, lost.races, lost.others.len(), lost.advice.len()), (0, [0; 2], 0, 0), "{lost}");
    tracer.stop()
}
