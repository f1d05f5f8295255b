//! What the probes cost by the kernel's own statistics: far less noisy than requests per second.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::bench::daemon;
use crate::bench::load::LOADS;
use crate::bench::report::table;
use crate::bench::storm::Storm;
use crate::bench::tally::ratio;
use crate::bench::testbed::Testbed;
use crate::testbed::daemon::DaemonUnderTest;

const STATISTICS: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// The kernel's BPF statistics, set for a while.
pub(crate) struct Statistics(String);

impl Statistics {
    /// Switches them on or off until this is dropped.
    pub(crate) fn switch(state: &str) -> Result<Self> {
        let before = fs::read_to_string(STATISTICS).context("this kernel has no BPF statistics")?;
        fs::write(STATISTICS, state)?;
        Ok(Self(before))
    }
}

impl Drop for Statistics {
    fn drop(&mut self) {
        // It could be written before.
        let _ = fs::write(STATISTICS, &self.0);
    }
}

/// One program, as the kernel describes it to those who hold it (`bpf_prog_show_fdinfo`, `kernel/bpf/syscall.c`).
#[derive(Clone, Debug)]
struct Program {
    /// Its tracepoint.
    name: String,
    /// Instructions that the verifier looked at.
    verified: u64,
    runs: u64,
    run_ns: u64,
}

/// Measures under both loads and in a storm, each for `seconds`.
pub(crate) fn measure(seconds: u64) -> Result<String> {
    let testbed = Testbed::make()?;
    let storm = Storm::prepare()?;
    let mut rows = Vec::new();
    for load in &LOADS {
        for flag in ["", "--requests", "--request-lines"] {
            let (flags, name) = match flag {
                "" => (&[][..], load.name.to_owned()),
                flag => (&[flag][..], format!("{}, `{flag}`", load.name)),
            };
            let (costs, rate) = under(&daemon::start(flags)?, || load.run(&testbed, seconds))?;
            rows.extend(costs.rows(&name, "request", rate * ratio(seconds, 1), ratio(seconds, 1))?);
        }
    }
    let (costs, made) = under(&daemon::start(&[])?, || storm.rage(Duration::from_secs(seconds)))?;
    rows.extend(costs.rows("RST storm", "RST", ratio(made.rsts(), 1), made.took.as_secs_f64())?);
    let head =
        ["under", "verified instructions", "runs per request or RST", "ns per run", "ns", "of all CPU time"];
    Ok(table(&head.map(str::to_owned), rows))
}

/// What a load cost.
pub(crate) struct Costs {
    /// Less what they had done before.
    programs: Vec<Program>,
    pub(crate) daemon_ns: u64,
}

/// What the daemon and its probes cost while there is this load.
pub(crate) fn under<T>(daemon: &DaemonUnderTest, load: impl FnOnce() -> Result<T>) -> Result<(Costs, T)> {
    let _statistics = Statistics::switch("1")?;
    let (before, cpu) = (programs(daemon.pid())?, daemon::cpu_ns(daemon)?);
    let done = load()?;
    let mut programs = programs(daemon.pid())?;
    for (program, before) in programs.iter_mut().zip(&before) {
        program.runs -= before.runs;
        program.run_ns -= before.run_ns;
    }
    Ok((Costs { programs, daemon_ns: daemon::cpu_ns(daemon)? - cpu }, done))
}

impl Costs {
    /// Of all its programs.
    pub(crate) fn probes_ns(&self) -> u64 {
        self.programs.iter().map(|program| program.run_ns).sum()
    }

    /// A row for each program, one for the daemon, and the sum.
    fn rows(&self, load: &str, unit: &str, count: f64, seconds: f64) -> Result<Vec<Vec<String>>> {
        let all_ns = ratio(thread::available_parallelism()?.get() as u64, 1) * seconds * 1e9;
        let row = |what: &str, [verified, runs, per_run]: [String; 3], ns: u64| {
            let per_unit = format!("{:.0} per {unit}", ratio(ns, 1) / count);
            let share = format!("{:.2} %", 100.0 * ratio(ns, 1) / all_ns);
            vec![format!("{load}: {what}"), verified, runs, per_run, per_unit, share]
        };
        let mut rows = Vec::new();
        for Program { name, verified, runs, run_ns } in &self.programs {
            let per_run = if *runs == 0 { String::new() } else { format!("{:.0}", ratio(*run_ns, *runs)) };
            let figures = [verified.to_string(), format!("{:.2}", ratio(*runs, 1) / count), per_run];
            rows.push(row(&format!("`{name}`"), figures, *run_ns));
        }
        let sum = self.daemon_ns + self.probes_ns();
        rows.push(row("the daemon", Default::default(), self.daemon_ns));
        rows.push(row("**all**", Default::default(), sum));
        Ok(rows)
    }
}

/// The programs that a process holds by links to tracepoints, in the order of their names.
fn programs(pid: u32) -> Result<Vec<Program>> {
    let mut texts = Vec::new();
    for descriptor in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        // Descriptors come and go.
        texts.push(fs::read_to_string(descriptor?.path()).unwrap_or_default());
    }
    let mut programs = Vec::new();
    for link in &texts {
        let (Some(name), Some(id)) = (field(link, "tp_name"), field(link, "prog_id")) else { continue };
        let is_its_program =
            |text: &&String| field(text, "prog_type").is_some() && field(text, "prog_id") == Some(id);
        let program = texts.iter().find(is_its_program).context("a link without its program")?;
        let number = |key| field(program, key).and_then(|value| value.parse().ok()).unwrap_or(0);
        programs.push(Program {
            name: name.to_owned(),
            verified: number("verified_insns"),
            runs: number("run_cnt"),
            run_ns: number("run_time_ns"),
        });
    }
    programs.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(programs)
}

fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim)
}
