//! The lab: real connections through network namespaces, reset on purpose, with a packet capture on every host as the
//! judge.
//!
//! `cargo xtask lab` runs every scenario under a running tracer and compares three kinds of evidence: the packets, the
//! errors that the applications see, and the tracer's lines. Traffic never leaves the lab's own namespaces, which it
//! removes again.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};

use crate::composites::{COMPOSITES, Composite, machine_is_ours};
use crate::privilege;
use crate::scenarios::case::Case;
use crate::scenarios::{self, batch, record};
use crate::soak::soak;
use crate::testbed::daemon::DaemonUnderTest;
use crate::testbed::host;
use crate::testbed::network::Family;

/// Runs resets on purpose and compares the tracer with the wire.
#[derive(clap::Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct Args {
    /// Run only these scenarios
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    only: Vec<String>,
    /// Run each scenario so many times
    #[arg(long, default_value_t = 1, value_name = "N")]
    repeat: usize,
    /// Run on IPv6 and on v4-mapped addresses too
    #[arg(long)]
    ipv6: bool,
    /// List the scenarios and run none
    #[arg(long)]
    list: bool,
    /// Keep the captures in this directory
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Have the tracer count requests
    #[arg(long)]
    requests: bool,
    /// Have the tracer look for request lines
    #[arg(long)]
    request_lines: bool,
    /// Judge the scenarios themselves, without a tracer
    #[arg(long)]
    wire_only: bool,
    /// Instead, write recordings into DIR/<kernel>/, for `tracer replay`: each scenario on IPv4, some on IPv6 too
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
    /// Instead, run so many connections of all kinds at once and compare all counts
    #[arg(long, value_name = "N")]
    mix: Option<usize>,
    /// What the mix is made from (default: another one each time)
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
}

/// Runs the scenarios, prints the table, and fails if anything in it does.
pub fn run(args: Args) -> Result<()> {
    if args.list {
        for scenario in scenarios::all() {
            println!("{:<26} {}", scenario.name, scenario.says);
        }
        for composite in COMPOSITES {
            println!("{:<26} {}", composite.name, composite.says);
        }
        return Ok(());
    }
    let (cases, composites) = select(&args.only, args.ipv6 || args.record.is_some())?;
    let cases = cases.repeat(args.repeat);
    ensure!(privilege::is_root(), "the lab makes network namespaces: run it as root");
    host::sweep()?;
    if let Some(into) = args.record {
        return record::record(&cases, &into);
    }
    if let Some(connections) = args.mix {
        let soaked = soak(connections, args.seed.unwrap_or_else(|| fastrand::u64(..)))?;
        print!("{soaked}");
        return soaked.is_exact();
    }
    let keep = args.keep.map(directory).transpose()?;
    let flags = [("--requests", args.requests), ("--request-lines", args.request_lines)];
    let flags: Vec<_> = flags.into_iter().filter_map(|(flag, is_set)| is_set.then_some(flag)).collect();
    let tracer = if args.wire_only { None } else { Some(DaemonUnderTest::start_for_lab(&flags)?) };
    let began = Instant::now();
    let mut failed = batch::run(&cases, tracer.as_ref(), keep.as_deref());
    let mut run = cases.len();
    if let Some(tracer) = &tracer {
        failed += composites
            .iter()
            .map(|(composite, family)| run_composite(composite, *family, tracer))
            .filter(|ok| !ok)
            .count();
        run += composites.len();
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{run} cases, {} ok, {failed} FAIL in {seconds:.1} s", run - failed);
    tracer.map_or(Ok(()), DaemonUnderTest::stop)?;
    ensure!(failed == 0, "{failed} of {run} cases of the lab are not as expected");
    Ok(())
}

/// Runs a composite, prints what came of it, and says whether it went well.
fn run_composite(composite: &Composite, family: Family, tracer: &DaemonUnderTest) -> bool {
    let result = composite.run(tracer, family);
    println!("{:<26} {} {}", composite.name, composite.says, if result.is_ok() { "ok" } else { "FAIL" });
    result.inspect_err(|error| println!("    {error:#}")).is_ok()
}

/// Every scenario on every address family.
#[must_use]
pub fn cases() -> Vec<Case> {
    [Family::V4, Family::V6, Family::Mapped]
        .into_iter()
        .flat_map(|family| scenarios::all().map(move |scenario| Case { scenario, family }))
        .collect()
}

/// Every composite that may be run here, on IPv4 and IPv6.
#[must_use]
pub fn composites() -> Vec<(&'static Composite, Family)> {
    COMPOSITES
        .iter()
        .filter(|composite| !composite.alone || machine_is_ours())
        .flat_map(|composite| [(composite, Family::V4), (composite, Family::V6)])
        .collect()
}

type CompositeCase = (&'static Composite, Family);

/// The cases and composites named, or all, on IPv4 and perhaps the rest.
fn select(only: &[String], ipv6: bool) -> Result<(Vec<Case>, Vec<CompositeCase>)> {
    let named = |name: &str| only.is_empty() || only.iter().any(|only| only == name);
    let known: Vec<_> =
        scenarios::all().map(|row| row.name).chain(COMPOSITES.iter().map(|row| row.name)).collect();
    if let Some(unknown) = only.iter().find(|only| !known.contains(&only.as_str())) {
        bail!("there is no scenario {unknown} (see --list)");
    }
    let (mut cases, mut composites) = (cases(), composites());
    cases.retain(|case| named(case.scenario.name) && (ipv6 || case.family == Family::V4));
    composites.retain(|(composite, family)| named(composite.name) && (ipv6 || *family == Family::V4));
    Ok((cases, composites))
}

fn directory(path: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
    Ok(path)
}
