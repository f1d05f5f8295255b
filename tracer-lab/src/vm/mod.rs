//! The lab under other kernels: each boots in an emulated machine that needs no KVM, with an init that runs the lab.
//!
//! `cargo xtask vm` fetches Debian's kernels, checks their signatures with the machine's own archive keys, and keeps
//! everything it makes under `target/vm/`. Nothing of the machine's own configuration is read or changed, but for the
//! address of its mirror.

mod apt;
mod cpio;
mod elf;
mod guest;
mod initramfs;
mod kernel;
mod modules;
mod recordings;
mod report;

use std::collections::BTreeSet;
use std::env::consts::ARCH;
use std::fs;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use self::kernel::Kernel;
use self::report::Report;
use crate::testbed::process;
use crate::workspace;

/// In seconds: a busy host gives a guest little of its time, and recordings are made one after the other.
const TIME_LIMIT: u64 = 1800;

/// Runs the lab under other kernels, in emulated machines.
#[derive(clap::Args, Debug, Default)]
pub struct Args {
    /// A kernel version or Debian suite (5.10, 6.1, 6.12, 7, sid), a kernel's .deb, or a directory it is unpacked in;
    /// the first four unless told
    #[arg(value_name = "KERNEL")]
    kernels: Vec<String>,
    /// Look for newer kernels than those fetched before
    #[arg(long)]
    update: bool,
    /// Instead, bring recordings of the lab to DIR/<kernel>/, for `tracer replay`
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
    /// How long one kernel may take
    #[arg(long, default_value_t = TIME_LIMIT, value_name = "SECONDS")]
    time_limit: u64,
    /// Flags of the lab, after --
    #[arg(last = true)]
    lab: Vec<String>,
}

impl Args {
    /// The flags that the guest's lab gets, if it is to run these scenarios; all that it was asked for, if there are
    /// none.
    fn lab_flags(&self, scenarios: &[&str]) -> Vec<String> {
        let mut flags = self.lab.clone();
        if !scenarios.is_empty() {
            drop_choice(&mut flags);
            // On all address families that were asked for.
            let names: BTreeSet<_> =
                scenarios.iter().filter_map(|scenario| scenario.split('/').next()).collect();
            flags.extend(["--only".to_owned(), Vec::from_iter(names).join(",")]);
        }
        if self.record.is_some() {
            flags.extend(["--record".to_owned(), recordings::IN_GUEST.to_owned()]);
        }
        flags
    }
}

/// Takes the choice of scenarios out of the lab's `flags`.
fn drop_choice(flags: &mut Vec<String>) {
    flags.retain(|flag| !flag.starts_with("--only="));
    while let Some(at) = flags.iter().position(|flag| flag == "--only") {
        flags.drain(at..flags.len().min(at + 2));
    }
}

/// Boots one kernel per processor at a time, prints the table of all, and fails if anything in it does.
pub fn run(args: &Args) -> Result<()> {
    ensure!(ARCH == "x86_64", "emulated machines are only made for x86_64");
    let directory = workspace::target_dir().join("vm");
    let names = if args.kernels.is_empty() { kernel::usual() } else { args.kernels.clone() };
    let kernels: Vec<_> =
        names.iter().map(|name| (name, Kernel::get(name, &directory, args.update))).collect();
    let mut reports = Vec::new();
    // A guest has one, and its clock does not mind the others.
    for kernels in kernels.chunks(thread::available_parallelism()?.get()) {
        let run = |name: &str, kernel: &Result<Kernel>| match kernel {
            Ok(kernel) => run_kernel(kernel, args, &directory),
            Err(error) => Report::lost(name, error),
        };
        thread::scope(|scope| {
            let guests: Vec<_> =
                kernels.iter().map(|(name, kernel)| scope.spawn(|| run(name, kernel))).collect();
            for guest in guests {
                let report = guest.join().unwrap_or_else(|panic| resume_unwind(panic));
                print!("{}", report.details());
                reports.push(report);
            }
        });
    }
    print!("{}", report::table(&reports));
    let failed = reports.iter().filter(|report| !report.is_ok()).count();
    ensure!(failed == 0, "{failed} of {} kernels are not as expected", reports.len());
    Ok(())
}

/// Boots `kernel`, and boots it again for what failed: emulation is slow and its clock uneven, and what fails by chance
/// does not fail twice.
fn run_kernel(kernel: &Kernel, args: &Args, directory: &Path) -> Report {
    let logs = directory.join("logs").join(&kernel.release);
    // Those of an earlier run; there may be none.
    let _ = fs::remove_dir_all(&logs);
    let boot = |which: &str, scenarios: &[&str]| {
        boot(kernel, args, scenarios, &logs.join(which))
            .unwrap_or_else(|error| Report::lost(&kernel.release, &error))
    };
    process::step(&format!("booting {}", kernel.release));
    let first = boot("first", &[]);
    if first.is_ok() {
        return first;
    }
    let again = first.to_run_again();
    let what = if again.is_empty() { "everything".to_owned() } else { again.join(", ") };
    process::step(&format!("booting {} again, for {what}", kernel.release));
    let second = boot("second", &again);
    first.then(second)
}

/// Boots `kernel` and has it run these scenarios; all that it was asked for, if there are none.
fn boot(kernel: &Kernel, args: &Args, scenarios: &[&str], logs: &Path) -> Result<Report> {
    let initramfs = initramfs::build(kernel, &args.lab_flags(scenarios), logs)?;
    let began = Instant::now();
    let log = guest::run(kernel, &initramfs, logs, Duration::from_secs(args.time_limit))?;
    let mut report = Report::read(&kernel.release, &log, began.elapsed(), logs);
    if let Some(into) = &args.record
        && let Err(error) = recordings::unpack(&recordings::brought_to(logs), into)
    {
        report.fail(&error);
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_played_again_takes_the_place_of_what_was_chosen() {
        let args =
            |lab: &[&str]| Args { lab: lab.iter().map(ToString::to_string).collect(), ..Args::default() };
        for (lab, again, flags) in [
            (
                &["--request-lines", "--only", "one,two", "--ipv6"][..],
                &[][..],
                "--request-lines --only one,two --ipv6",
            ),
            (
                &["--request-lines", "--only", "one,two", "--ipv6"],
                &["two", "two/v6"],
                "--request-lines --ipv6 --only two",
            ),
            (&["--only=one", "--only=two"], &["two"], "--only two"),
            (&["--request-lines"], &["one", "three"], "--request-lines --only one,three"),
        ] {
            assert_eq!(args(lab).lab_flags(again).join(" "), flags);
        }
    }
}
