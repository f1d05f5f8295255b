//! Kernels that are not what the daemon needs: it reads their type information (BTF), so a changed copy of it, mounted
//! where only the daemon sees it, makes this kernel look like another one.

use std::fs;
use std::io::Write as _;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use tempfile::NamedTempFile;
use tracer_lab::testbed::http;
use tracer_lab::testbed::wait::until;

use crate::network::Network;
use crate::turn;
use tracer_lab::testbed::daemon::{DaemonUnderTest, Ended, command, run};
use tracer_lab::testbed::scrape::Scrape;

const BTF: &str = "/sys/kernel/btf/vmlinux";
const PROBES: [&str; 3] = ["tcp_send_reset", "tcp_receive_reset", "inet_sock_set_state"];

/// The daemon after `mount`, a shell command, ran in a mount namespace of its own.
fn behind(mount: &str, flags: &[&str]) -> Command {
    let script = format!("{mount} && exec \"$@\"");
    command(&["unshare", "--mount", "sh", "-c", &script, "sh"], flags)
}

/// The daemon with other type information.
fn on(btf: &NamedTempFile, flags: &[&str]) -> Command {
    behind(&format!("mount --bind {} {BTF}", btf.path().display()), flags)
}

fn blob(bytes: &[u8]) -> Result<NamedTempFile> {
    let mut file = NamedTempFile::new()?;
    file.write_all(bytes)?;
    Ok(file)
}

fn this_kernels() -> Result<Vec<u8>> {
    fs::read(BTF).with_context(|| format!("cannot read {BTF}"))
}

/// This kernel's type information, in which nothing has these names any more.
fn without(names: &[&str]) -> Result<NamedTempFile> {
    let mut bytes = this_kernels()?;
    for name in names {
        let whole = [b"\0", name.as_bytes(), b"\0"].concat();
        let at = bytes.windows(whole.len()).position(|window| window == whole);
        bytes[at.with_context(|| format!("this kernel has no {name}"))? + 1] = b'#';
    }
    blob(&bytes)
}

/// This kernel's type information, in which one member has the type of another.
fn retyped(member: &str, like: &str) -> Result<NamedTempFile> {
    let mut bytes = this_kernels()?;
    let number = |bytes: &[u8], at: usize| -> Result<u32> {
        Ok(u32::from_ne_bytes(bytes.get(at..at + 4).context("BTF is cut short")?.try_into()?))
    };
    // `struct btf_header` and `struct btf_member` (Documentation/bpf/btf.rst).
    let header = number(&bytes, 4)? as usize;
    let types = header..header + number(&bytes, 12)? as usize;
    let strings = header + number(&bytes, 16)? as usize;
    let find = |bytes: &[u8], name: &str| -> Result<usize> {
        let whole = [b"\0", name.as_bytes(), b"\0"].concat();
        let name_at = bytes[strings..].windows(whole.len()).position(|window| window == whole);
        let name_at = u32::try_from(name_at.with_context(|| format!("this kernel has no {name}"))? + 1)?;
        let mut words = types.clone().step_by(4);
        let at = words.find(|&at| number(bytes, at).is_ok_and(|word| word == name_at));
        at.with_context(|| format!("no struct of this kernel has a member {name}"))
    };
    let (at, other) = (find(&bytes, member)? + 4, find(&bytes, like)? + 4);
    bytes.copy_within(other..other + 4, at);
    blob(&bytes)
}

fn tracepoint(probe: &str) -> String {
    format!("btf_trace_{probe}")
}

#[test]
fn a_kernel_without_type_information_is_one_sentence() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    let ended = run(behind("mount -t tmpfs none /sys/kernel/btf", &[]))?;
    ended.is_one_sentence(&[BTF, "CONFIG_DEBUG_INFO_BTF=y"]);
    Ok(())
}

#[test]
fn type_information_that_is_cut_short_is_one_sentence() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    let whole = this_kernels()?;
    for length in [0, 1, 3, 23, 24, 100, whole.len() / 2, whole.len() - 1] {
        let ended = run(on(&blob(&whole[..length])?, &[]))?;
        ended.is_one_sentence(&["cannot read", BTF]);
    }
    Ok(())
}

#[test]
fn type_information_of_another_machine_is_one_sentence() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    let mut bytes = this_kernels()?;
    // The magic number tells the byte order.
    bytes.swap(0, 1);
    run(on(&blob(&bytes)?, &[]))?.is_one_sentence(&["cannot read", BTF, "byte order"]);
    Ok(())
}

#[test]
fn a_field_that_is_gone_is_named() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    for field in ["lsndtime", "data_segs_in", "_skb_refdst"] {
        run(on(&without(&[field])?, &[]))?.is_one_sentence(&[field, "older than"]);
    }
    Ok(())
}

#[test]
fn a_field_of_another_width_is_named_with_both_widths() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    let ended = run(on(&retyped("lsndtime", "bytes_acked")?, &[]))?;
    ended.is_one_sentence(&["lsndtime of struct tcp_sock", "8 bytes wide, not 4", "older than"]);
    Ok(())
}

#[test]
fn a_field_that_can_be_done_without_takes_its_part_with_it() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    for (btf, why) in [
        (without(&["iov_offset"])?, "has no field msg_iter.iov_offset"),
        (retyped("iter_type", "bytes_acked")?, "iter_type of struct msghdr is 8 bytes wide, not 1"),
    ] {
        let daemon = DaemonUnderTest::of(on(&btf, &["--request-lines"]))?;
        assert_eq!(http::get(daemon.port, "/-/ready")?.status, 200);
        let ended = daemon.end(Signal::SIGTERM)?;
        let warned =
            |line: &str| line.contains("WARN") && line.contains("no request line") && line.contains(why);
        ensure!(ended.stderr.lines().any(warned) && ended.code == Some(0), "{ended:?}");
    }
    Ok(())
}

#[test]
fn a_tracepoint_that_is_absent_is_reported_and_the_rest_works() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    check_absent("tcp_send_reset", &["received"])?;
    // That the SYN was refused shows in its socket as well.
    check_absent("tcp_receive_reset", &["", "sent"])?;
    check_absent("inet_sock_set_state", &["received", "sent"])
}

fn check_absent(absent: &str, seen: &[&str]) -> Result<()> {
    let mut daemon = DaemonUnderTest::of(on(&without(&[&tracepoint(absent)])?, &["--events", "json"]))?;

    let ready = http::get(daemon.port, "/-/ready")?;
    assert_eq!(ready.status, 503);
    let ready = ready.text()?;
    let scrape = Scrape::take(daemon.port)?;
    for probe in PROBES {
        let attached = scrape.value(&format!("tracer_probe_attached{{probe=\"{probe}\"}}"))?;
        assert_eq!(attached, u64::from(probe != absent), "{probe} without {absent}");
        assert_eq!(ready.contains(probe), probe == absent, "without {absent}, /-/ready says {ready}");
    }
    assert_eq!(http::get(daemon.port, "/-/healthy")?.status, 200);

    let lines = daemon.read_lines()?;
    let network = Network::new()?;
    network.refuse(0..1)?;
    let all = || network.resets(&lines, 0);
    until(&format!("{seen:?} without {absent}"), || Ok((all().len() >= seen.len()).then_some(())))?;

    let ended = daemon.end(Signal::SIGTERM)?;
    let mut directions: Vec<_> =
        all().iter().map(|line| line.direction.clone().unwrap_or_default()).collect();
    directions.sort();
    assert_eq!(directions, seen, "without {absent}");
    let warned = ended.stderr.lines().any(|line| line.contains("WARN") && line.contains(absent));
    ensure!(warned && ended.code == Some(0), "without {absent}: {ended:?}");
    Ok(())
}

#[test]
fn requests_that_cannot_be_counted_are_not_and_the_rest_works() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    let absent = "tcp_rcv_space_adjust";
    let network = Network::new()?;
    let closes = |kernel: Command| -> Result<(Scrape, Ended)> {
        let daemon = DaemonUnderTest::of(kernel)?;
        assert_eq!(http::get(daemon.port, "/-/ready")?.status, 200);
        network.close_idle_connection()?;
        let count = |scrape: &Scrape| scrape.sum("tracer_idle_close_seconds_count", &[]);
        let scrape = until("the idle close to be counted", || {
            Ok(Some(Scrape::take(daemon.port)?).filter(|scrape| count(scrape).is_ok_and(|count| count > 0)))
        })?;
        Ok((scrape, daemon.end(Signal::SIGTERM)?))
    };
    let attached = format!("tracer_probe_attached{{probe=\"{absent}\"}}");

    let (scrape, ended) = closes(command(&[], &["--requests"]))?;
    assert_eq!(scrape.value(&attached)?, 1);
    assert!(scrape.0.contains("tracer_requests_total{") && !ended.stderr.contains(absent), "{ended:?}");

    let (scrape, ended) = closes(on(&without(&[&tracepoint(absent)])?, &["--requests"]))?;
    assert_eq!(scrape.value(&attached)?, 0);
    assert!(!scrape.0.contains("tracer_requests_total"), "requests are counted without {absent}");
    let warned = ended.stderr.lines().any(|line| line.contains("WARN") && line.contains(absent));
    ensure!(warned && ended.code == Some(0), "without {absent}: {ended:?}");
    Ok(())
}

#[test]
fn a_kernel_without_any_of_the_tracepoints_is_one_sentence() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    let absent = PROBES.map(tracepoint);
    let ended = run(on(&without(&absent.each_ref().map(String::as_str))?, &[]))?;
    ended.is_one_sentence(&["no probe could be attached", "no tracepoint"]);
    Ok(())
}
