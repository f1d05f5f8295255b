//! The lab: real connections through network namespaces, reset on purpose, with a packet capture on every host as the judge.
//!
//! `cargo xtask lab` plays every scenario under a running tracer and compares three witnesses: the packets, the errors that the
//! applications see, and the tracer's lines. Traffic never leaves the lab's own namespaces, which it removes again.

mod batch;
mod capture;
mod case;
mod connection;
mod describe;
mod diag;
mod event;
pub mod host;
pub mod http;
mod judge;
mod net;
mod nginx;
mod outcome;
mod pcap;
mod proxy;
mod scenario;
mod scenarios;
mod sockets;
mod tracer;
pub mod wait;
mod wire;

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};

pub use batch::WORKERS;
pub use case::Case;
pub use net::Family;
pub use outcome::Outcome;
pub use proxy::{Tally, race_with_nginx};
pub use scenario::Scenario;
pub use tracer::Tracer;

use crate::privilege;

/// Plays resets on purpose and compares the tracer with the wire.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Play only these scenarios
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    only: Vec<String>,
    /// Play each scenario so many times
    #[arg(long, default_value_t = 1, value_name = "N")]
    repeat: usize,
    /// Play on IPv6 and on v4-mapped addresses too
    #[arg(long)]
    ipv6: bool,
    /// List the scenarios and play none
    #[arg(long)]
    list: bool,
    /// Keep the captures in this directory
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Judge the scenarios themselves, without a tracer
    #[arg(long)]
    wire_only: bool,
}

/// Plays the scenarios, prints the table, and fails if anything in it does.
pub fn run(args: Args) -> Result<()> {
    if args.list {
        for scenario in scenarios::all() {
            println!("{:<14} {}", scenario.name, scenario.says);
        }
        return Ok(());
    }
    let cases = select(&args.only, args.ipv6)?.repeat(args.repeat);
    ensure!(privilege::is_root(), "the lab makes network namespaces: run it as root");
    prepare()?;
    let keep = args.keep.map(directory).transpose()?;
    let tracer = if args.wire_only { None } else { Some(Tracer::start()?) };
    let began = Instant::now();
    let failed = batch::play(&cases, tracer.as_ref(), keep.as_deref());
    let seconds = began.elapsed().as_secs_f64();
    let ok = cases.len() - failed;
    println!("{} cases, {ok} ok, {failed} FAIL in {seconds:.1} s", cases.len());
    tracer.map_or(Ok(()), Tracer::stop)?;
    ensure!(failed == 0, "{failed} of {} cases of the lab are not as expected", cases.len());
    Ok(())
}

/// Every scenario on every address family.
#[must_use]
pub fn cases() -> Vec<Case> {
    [Family::V4, Family::V6, Family::Mapped]
        .into_iter()
        .flat_map(|family| scenarios::all().map(move |scenario| Case { scenario, family }))
        .collect()
}

/// Removes what a killed lab left behind. To be called before the first case.
pub fn prepare() -> Result<()> {
    net::sweep().context("namespaces of an earlier lab cannot be removed")
}

/// The cases of the scenarios named, or of all, on IPv4 and perhaps the rest.
fn select(only: &[String], ipv6: bool) -> Result<Vec<Case>> {
    let named = |name: &str| only.iter().any(|only| only == name);
    for name in only {
        if scenarios::all().all(|scenario| scenario.name != name) {
            bail!("there is no scenario {name} (see --list)");
        }
    }
    let mut cases = cases();
    cases.retain(|case| ipv6 || case.family == Family::V4);
    cases.retain(|case| only.is_empty() || named(case.scenario.name));
    Ok(cases)
}

fn directory(path: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
    Ok(path)
}
