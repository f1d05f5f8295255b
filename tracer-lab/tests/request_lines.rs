//! With `--request-lines` the tracer knows the last request where it can, and says nothing where it cannot.

use anyhow::Result;
use tracer_lab::requests::lines;
use tracer_lab::testbed::network::Family;
use tracer_lab::testbed::permit::may_run;

fn check(test: impl FnOnce() -> Result<()>) -> Result<()> {
    if may_run("request_lines")? { test() } else { Ok(()) }
}

#[test]
fn friends_and_foes_are_told_apart() -> Result<()> {
    check(|| lines::friends_and_foes_are_told_apart(Family::V4))
}

#[test]
fn friends_and_foes_are_told_apart_on_ipv6() -> Result<()> {
    check(|| lines::friends_and_foes_are_told_apart(Family::V6))
}

#[test]
fn a_packet_of_its_own_is_read() -> Result<()> {
    check(|| lines::a_packet_of_its_own_is_read(Family::V4))
}

#[test]
fn what_was_sent_before_the_tracer_started_is_found() -> Result<()> {
    check(|| lines::what_was_sent_before_the_tracer_started_is_found(Family::V4))
}

#[test]
fn without_the_flag_nothing_is_read() -> Result<()> {
    check(|| lines::without_the_flag_nothing_is_read(Family::V4))
}
