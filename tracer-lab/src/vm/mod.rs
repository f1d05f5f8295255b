//! The lab under other kernels: each boots in an emulated machine that needs no KVM, with an init that plays the lab.
//!
//! `cargo xtask vm` fetches Debian's kernels, checks their signatures with the machine's own archive keys, and keeps everything
//! it makes under `target/vm/`. Nothing of the machine's own configuration is read or changed, but for the address of its mirror.

mod apt;
mod cpio;
mod elf;
mod guest;
mod initramfs;
mod kernel;
mod modules;
mod recordings;
mod report;

use std::env::consts::ARCH;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use self::kernel::Kernel;
use self::report::Report;
use crate::{process, workspace};

/// In seconds, more than twice what recordings take, which are made one after the other.
const TIME_LIMIT: u64 = 600;

/// Plays the lab under other kernels, in emulated machines.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A kernel version or Debian suite (5.10, 6.1, 6.12, 7, sid), a kernel's .deb, or a directory it is unpacked in; the first
    /// four unless told
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
    /// The flags that the guest's lab gets.
    fn lab_flags(&self) -> Vec<String> {
        let mut flags = self.lab.clone();
        if self.record.is_some() {
            flags.extend(["--record".to_owned(), recordings::IN_GUEST.to_owned()]);
        }
        flags
    }
}

/// Boots one kernel after the other, prints the table of all, and fails if anything in it does.
pub fn run(args: &Args) -> Result<()> {
    ensure!(ARCH == "x86_64", "emulated machines are only made for x86_64");
    let directory = workspace::target_dir().join("vm");
    let names = if args.kernels.is_empty() { kernel::usual() } else { args.kernels.clone() };
    let mut reports = Vec::new();
    for name in &names {
        let attempt = || play(name, args, &directory).unwrap_or_else(|error| Report::lost(name, &error));
        let mut report = attempt();
        print!("{}", report.details());
        // Emulation is slow and its clock uneven: what fails by chance does not fail twice.
        if !report.is_ok() {
            process::step(&format!("{name} once more"));
            report = attempt();
            print!("{}", report.details());
        }
        reports.push(report);
    }
    print!("{}", report::table(&reports));
    let failed = reports.iter().filter(|report| !report.is_ok()).count();
    ensure!(failed == 0, "{failed} of {} kernels are not as expected", reports.len());
    Ok(())
}

fn play(name: &str, args: &Args, directory: &Path) -> Result<Report> {
    let kernel = Kernel::get(name, directory, args.update)?;
    process::step(&format!("booting {}", kernel.release));
    let logs: PathBuf = directory.join("logs").join(&kernel.release);
    let initramfs = initramfs::build(&kernel, &args.lab_flags(), &logs)?;
    let began = Instant::now();
    let log = guest::run(&kernel, &initramfs, &logs, Duration::from_secs(args.time_limit))?;
    let mut report = Report::read(&kernel.release, &log, began.elapsed(), &logs);
    if let Some(into) = &args.record
        && let Err(error) = recordings::unpack(&recordings::brought_to(&logs), into)
    {
        report.fail(&error);
    }
    Ok(report)
}
