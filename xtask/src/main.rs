//! `cargo xtask`: the developer's commands of tracer.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use xtask::{bench, commands, fresh, fuzz, lab, setup, vm};

/// Build, run and test tracer. Everything needed is found or installed on the way.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", max_term_width = 80)]
enum Xtask {
    /// Find or install what tracer is built with
    Setup {
        /// Also what its tests need
        #[arg(long)]
        tests: bool,
    },
    /// Build the eBPF object and the daemon
    Build,
    /// Build what is missing and run the daemon as root
    Run {
        /// Flags of the daemon, after --
        #[arg(last = true)]
        flags: Vec<OsString>,
    },
    /// Build everything and run all tests
    Test {
        /// Flags of `cargo test`, after --
        #[arg(last = true)]
        flags: Vec<OsString>,
    },
    /// Check the format, lint, and test
    Ci,
    /// Make real resets on this machine and watch tracer explain them
    Lab(lab::Args),
    /// Watch real servers close idle connections and compare the timeouts that tracer infers
    Servers(lab::servers::Args),
    /// Measure what tracer costs, beside what people use today
    Bench(bench::Args),
    /// Play the lab under other kernels, in emulated machines
    Vm(vm::Args),
    /// Throw inputs that nobody thought of at what reads bytes that strangers choose
    Fuzz(fuzz::Args),
    /// Try the README's commands and CI on a machine that has nothing
    Fresh(fresh::Args),
}

fn main() -> ExitCode {
    let result = match Xtask::parse() {
        Xtask::Setup { tests } => setup::build().and_then(|_| if tests { setup::tests() } else { Ok(()) }),
        Xtask::Build => commands::build(),
        Xtask::Run { flags } => commands::run(&flags),
        Xtask::Test { flags } => commands::test(&flags),
        Xtask::Ci => commands::ci(),
        Xtask::Lab(arguments) => commands::lab(arguments),
        Xtask::Servers(arguments) => commands::servers(&arguments),
        Xtask::Bench(arguments) => commands::bench(&arguments),
        Xtask::Vm(arguments) => commands::vm(&arguments),
        Xtask::Fuzz(arguments) => commands::fuzz(&arguments),
        Xtask::Fresh(arguments) => fresh::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
