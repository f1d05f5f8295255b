//! With `--requests` the tracer counts what clients, servers and the wire count.

use anyhow::Result;
use tracer_lab::requests;
use tracer_lab::testbed::network::Family;
use tracer_lab::testbed::permit::may_run;

fn check(test: impl FnOnce() -> Result<()>) -> Result<()> {
    if may_run("requests")? { test() } else { Ok(()) }
}

#[test]
fn requests_and_idle_times_are_those_of_the_wire() -> Result<()> {
    check(|| requests::all_count_the_same(Family::V4))
}

#[test]
fn requests_and_idle_times_are_those_of_the_wire_on_ipv6() -> Result<()> {
    check(|| requests::all_count_the_same(Family::V6))
}

#[test]
fn requests_and_idle_times_are_those_of_the_wire_on_mapped_addresses() -> Result<()> {
    check(|| requests::all_count_the_same(Family::Mapped))
}

#[test]
fn a_race_knows_the_requests_before_it() -> Result<()> {
    check(|| requests::races_know_what_came_before(Family::V4))
}

#[test]
fn a_race_knows_the_requests_before_it_on_ipv6() -> Result<()> {
    check(|| requests::races_know_what_came_before(Family::V6))
}

#[test]
fn servers_without_room_count_as_other() -> Result<()> {
    check(requests::without_room_the_rest_is_other)
}

#[test]
fn nothing_is_counted_unless_it_is_asked_for() -> Result<()> {
    check(requests::without_the_flag_nothing_is_counted)
}

#[test]
fn late_reuses_go_into_the_advice() -> Result<()> {
    check(requests::late_reuses_are_told)
}

#[test]
fn a_limit_on_requests_is_found() -> Result<()> {
    check(|| requests::request_limit_is_found(true))
}

#[test]
fn a_limit_on_requests_is_found_without_counting_them() -> Result<()> {
    check(|| requests::request_limit_is_found(false))
}
