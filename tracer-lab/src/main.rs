//! The lab's commands: `cargo xtask` builds what they need and runs them.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use tracer_lab::{bench, fresh, lab, servers, summary, vm};

/// Commands of `cargo xtask` that make machines, networks and traffic.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", max_term_width = 80)]
enum Command {
    /// Make real resets on this machine and watch tracer explain them
    Lab(lab::Args),
    /// Watch real servers close idle connections and compare the timeouts that tracer infers
    Servers(servers::Args),
    /// Measure what tracer costs, beside what people use today
    Bench(bench::Args),
    /// Run the lab under other kernels, in emulated machines
    Vm(vm::Args),
    /// Try the README's commands and CI on a machine that has nothing
    Fresh(fresh::Args),
    /// Run `cargo test` with these words to its end, and sum up all that failed
    #[command(hide = true)]
    Test {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Lab(arguments) => lab::run(arguments),
        Command::Servers(arguments) => servers::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Vm(arguments) => vm::run(&arguments),
        Command::Fresh(arguments) => fresh::run(&arguments),
        Command::Test { words } => summary::run(&words),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tracer-lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}
