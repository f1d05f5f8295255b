//! `cargo xtask`: the developer's commands of tracer.
#![forbid(unsafe_code)]

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use xtask::{commands, fuzz, lab, setup};

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
    #[command(flatten)]
    Lab(lab::Command),
    /// Throw inputs that nobody thought of at what reads bytes that strangers choose
    Fuzz(fuzz::Args),
}

fn main() -> ExitCode {
    let result = match Xtask::parse() {
        Xtask::Setup { tests } => setup::build().and_then(|_| if tests { setup::tests() } else { Ok(()) }),
        Xtask::Build => commands::build(),
        Xtask::Run { flags } => commands::run(&flags),
        Xtask::Test { flags } => commands::test(&flags),
        Xtask::Ci => commands::ci(),
        Xtask::Lab(command) => command.become_it(env::args_os().skip(2).collect()),
        Xtask::Fuzz(arguments) => commands::fuzz(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Xtask;

    #[test]
    fn no_line_of_help_is_longer_than_a_terminal() {
        let mut xtask = Xtask::command();
        xtask.build();
        let mut help = vec![xtask.render_help(), xtask.render_long_help()];
        for command in xtask.get_subcommands_mut() {
            help.extend([command.render_help(), command.render_long_help()]);
        }
        for text in help.iter().map(ToString::to_string) {
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        }
    }
}
