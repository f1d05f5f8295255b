//! What keeps the daemon from starting: an exit code, and one sentence that says what to do.

use std::net::TcpListener;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use tracer_lab::testbed::{http, scrape::Scrape, wait::until};

use crate::network::Network;
use crate::turn;
use tracer_lab::testbed::daemon::{DaemonUnderTest, command, run, run_as_is};

#[test]
fn a_command_line_that_cannot_be_understood_is_exit_code_2() -> Result<()> {
    for (flags, culprit) in [
        (&["--port", "70000"][..], "--port"),
        (&["--port", "http"], "--port"),
        (&["--port"], "--port"),
        (&["--listen-address", "somewhere"], "--listen-address"),
        (&["--web-host", "https://tracer.example"], "--web-host"),
        (&["--events", "xml"], "--events"),
        (&["--server-port", "80,web"], "--server-port"),
        (&["--race-window", "soon"], "--race-window"),
        (&["--race-window=-5ms"], "--race-window"),
        (&["--max-series", "many"], "--max-series"),
        (&["--recent", "1e3"], "--recent"),
        (&["--event-buffer", "5000"], "--event-buffer"),
        (&["--log-level", "loud"], "--log-level"),
        (&["--no-such-flag"], "--no-such-flag"),
        (&["eth0"], "eth0"),
    ] {
        let ended = run_as_is(command(&[], flags))?;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{flags:?}: {ended:?}");
        let sentence = ended.stderr.lines().next().unwrap_or_default();
        assert!(sentence.starts_with("error: ") && sentence.contains(culprit), "{flags:?}: {sentence}");
    }
    Ok(())
}

#[test]
fn variables_are_read_like_flags() -> Result<()> {
    let mut command = command(&[], &[]);
    command.env("TRACER_PORT", "70000");
    let ended = run_as_is(command)?;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("--port"), "{ended:?}");
    Ok(())
}

#[test]
fn the_debug_log_has_no_line_of_the_loader_library() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    let network = Network::new()?;
    let daemon = DaemonUnderTest::of(command(&[], &["--events", "off", "--log-level", "debug"]))?;
    let events = || Scrape::take(daemon.port)?.sum("tracer_events_total", &["event=\"send_reset\""]);
    // What the kernel side has to say comes after the events: of the first refusal, before the event of the second.
    for _ in 0..2 {
        let before = events()?;
        network.refuse(0..1)?;
        until("the refusal to be seen", || Ok((events()? > before).then_some(())))?;
    }
    let ended = daemon.end(Signal::SIGTERM)?;
    ensure!(ended.stderr.contains("tcp_send_reset sk"), "the kernel side says nothing: {ended:?}");
    ensure!(!ended.stderr.contains("relocat"), "the library is heard: {ended:?}");
    Ok(())
}

#[test]
fn a_variables_former_name_counts_where_the_new_one_is_not_set() -> Result<()> {
    for (variables, refused) in [
        (&[("TRACER_MAX_CONNECTIONS", "0")][..], "0"),
        (&[("TRACER_MAX_CLOSED_CONNECTIONS", "1")], "1"),
        (&[("TRACER_MAX_CLOSED_CONNECTIONS", "1"), ("TRACER_MAX_CONNECTIONS", "0")], "1"),
    ] {
        let mut command = command(&[], &[]);
        command.envs(variables.iter().copied());
        let ended = run_as_is(command)?;
        assert_eq!(ended.code, Some(2), "{ended:?}");
        let sentence = format!("invalid value '{refused}' for '--max-closed-connections");
        assert!(ended.stderr.contains(&sentence), "{ended:?}");
    }
    for (variable, shown) in
        [("TRACER_HTTP", "[env: TRACER_HTTP=1]"), ("TRACER_REQUEST_LINES", "[env: TRACER_REQUEST_LINES=1]")]
    {
        let mut command = command(&[], &["--help"]);
        command.env(variable, "1");
        let ended = run_as_is(command)?;
        assert!(ended.stdout.contains(shown), "{ended:?}");
    }
    Ok(())
}

#[test]
fn a_port_that_is_taken_is_named() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    let taken = TcpListener::bind(("127.0.0.1", 0))?;
    let address = taken.local_addr()?.to_string();
    let port = taken.local_addr()?.port().to_string();
    run_as_is(command(&[], &["--port", &port]))?.is_one_sentence(&[&address, "--port", "in use"]);
    Ok(())
}

#[test]
fn an_address_of_another_host_is_named() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    // RFC 5737: an address for documentation is nobody's.
    let ended = run(command(&[], &["--listen-address", "192.0.2.1"]))?;
    ended.is_one_sentence(&["192.0.2.1", "--listen-address"]);
    Ok(())
}

#[test]
fn a_second_daemon_runs_beside_the_first_but_not_on_its_port() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    let first = DaemonUnderTest::of(command(&[], &[]))?;
    let port = first.port.to_string();
    run_as_is(command(&[], &["--port", &port]))?.is_one_sentence(&["--port"]);
    let second = DaemonUnderTest::of(command(&[], &[]))?;
    for port in [first.port, second.port] {
        assert_eq!(http::get(port, "/-/ready")?.status, 200);
    }
    Ok(())
}
