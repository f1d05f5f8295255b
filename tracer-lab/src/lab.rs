//! The lab: real connections through network namespaces, reset on purpose, with a packet capture on every host as the judge.
//!
//! `cargo xtask lab` plays every scenario under a running tracer and compares three witnesses: the packets, the errors that the
//! applications see, and the tracer's lines. Traffic never leaves the lab's own namespaces, which it removes again.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};

use crate::composites::{STORIES, Story};
use crate::privilege;
use crate::scenarios::case::Case;
use crate::scenarios::{self, batch, record};
use crate::soak::mix;
use crate::testbed::daemon::DaemonUnderTest;
use crate::testbed::host;
use crate::testbed::network::Family;

/// Plays resets on purpose and compares the tracer with the wire.
#[derive(clap::Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
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
    /// Have the tracer count requests
    #[arg(long)]
    requests: bool,
    /// Have the tracer look for request lines
    #[arg(long)]
    http: bool,
    /// Judge the scenarios themselves, without a tracer
    #[arg(long)]
    wire_only: bool,
    /// Instead, write recordings into DIR/<kernel>/, for `tracer replay`: each scenario on IPv4, some on IPv6 too
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
    /// Instead, play so many connections of all kinds at once and compare all counts
    #[arg(long, value_name = "N")]
    mix: Option<usize>,
    /// What the mix is made from (default: another one each time)
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
}

/// Plays the scenarios, prints the table, and fails if anything in it does.
pub fn run(args: Args) -> Result<()> {
    if args.list {
        for scenario in scenarios::all() {
            println!("{:<26} {}", scenario.name, scenario.says);
        }
        for story in STORIES {
            println!("{:<26} {}", story.name, story.says);
        }
        return Ok(());
    }
    let (cases, stories) = select(&args.only, args.ipv6 || args.record.is_some())?;
    let cases = cases.repeat(args.repeat);
    ensure!(privilege::is_root(), "the lab makes network namespaces: run it as root");
    prepare()?;
    if let Some(into) = args.record {
        return record::record(&cases, &into);
    }
    if let Some(connections) = args.mix {
        let mixed = mix(connections, args.seed.unwrap_or_else(|| fastrand::u64(..)))?;
        print!("{mixed}");
        return mixed.is_exact();
    }
    let keep = args.keep.map(directory).transpose()?;
    let flags = [("--requests", args.requests), ("--http", args.http)];
    let flags: Vec<_> = flags.into_iter().filter_map(|(flag, wanted)| wanted.then_some(flag)).collect();
    let tracer = if args.wire_only { None } else { Some(DaemonUnderTest::start_for_lab(&flags)?) };
    let began = Instant::now();
    let mut failed = batch::play(&cases, tracer.as_ref(), keep.as_deref());
    let mut played = cases.len();
    if let Some(tracer) = &tracer {
        failed += stories.iter().map(|(story, family)| tell(story, *family, tracer)).filter(|ok| !ok).count();
        played += stories.len();
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{played} cases, {} ok, {failed} FAIL in {seconds:.1} s", played - failed);
    tracer.map_or(Ok(()), DaemonUnderTest::stop)?;
    ensure!(failed == 0, "{failed} of {played} cases of the lab are not as expected");
    Ok(())
}

/// Plays a story, prints what came of it, and says whether it went well.
fn tell(story: &Story, family: Family, tracer: &DaemonUnderTest) -> bool {
    let told = story.run(tracer, family);
    println!("{:<26} {} {}", story.name, story.says, if told.is_ok() { "ok" } else { "FAIL" });
    told.inspect_err(|error| println!("    {error:#}")).is_ok()
}

/// Every scenario on every address family.
#[must_use]
pub fn cases() -> Vec<Case> {
    [Family::V4, Family::V6, Family::Mapped]
        .into_iter()
        .flat_map(|family| scenarios::all().map(move |scenario| Case { scenario, family }))
        .collect()
}

/// Every story on IPv4 and IPv6.
#[must_use]
pub fn stories() -> Vec<(&'static Story, Family)> {
    STORIES.iter().flat_map(|story| [(story, Family::V4), (story, Family::V6)]).collect()
}

/// Whether a test may play: it needs root, and says so if it is skipped. What a killed lab left behind is removed.
pub fn may_play(test: &str) -> Result<bool> {
    let may = privilege::require_root(test);
    if may {
        prepare()?;
    }
    Ok(may)
}

/// Removes what a killed lab left behind. To be called before the first case.
pub fn prepare() -> Result<()> {
    host::sweep().context("namespaces of an earlier lab cannot be removed")
}

type Told = (&'static Story, Family);

/// The cases and stories named, or all, on IPv4 and perhaps the rest.
fn select(only: &[String], ipv6: bool) -> Result<(Vec<Case>, Vec<Told>)> {
    let named = |name: &str| only.is_empty() || only.iter().any(|only| only == name);
    let known: Vec<_> =
        scenarios::all().map(|row| row.name).chain(STORIES.iter().map(|row| row.name)).collect();
    if let Some(unknown) = only.iter().find(|only| !known.contains(&only.as_str())) {
        bail!("there is no scenario {unknown} (see --list)");
    }
    let (mut cases, mut stories) = (cases(), stories());
    cases.retain(|case| named(case.scenario.name) && (ipv6 || case.family == Family::V4));
    stories.retain(|(story, family)| named(story.name) && (ipv6 || *family == Family::V4));
    Ok((cases, stories))
}

fn directory(path: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
    Ok(path)
}
