//! `cargo xtask`: the developer's commands of tracer.
#![forbid(unsafe_code)]

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use xtask::{commands, daemon, fuzz, lab, setup};

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
    /// Fuzz what reads untrusted bytes
    Fuzz(fuzz::Args),
}

fn main() -> ExitCode {
    let result = match Xtask::parse() {
        Xtask::Setup { tests } => setup::build().and_then(|_| if tests { setup::tests() } else { Ok(()) }),
        Xtask::Build => daemon::build(),
        Xtask::Run { flags } => daemon::run(&flags),
        Xtask::Test { flags } => commands::test(&flags),
        Xtask::Ci => commands::ci(),
        Xtask::Lab(command) => command.exec(env::args_os().skip(2).collect()),
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
    use clap::{CommandFactory as _, Parser as _};

    use super::Xtask;

    #[test]
    fn the_labs_flags_are_none_of_ours() {
        for words in ["lab --only unread-close --help", "vm 6.1 -- --http", "vm -- --http", "bench"] {
            let words = std::iter::once("xtask").chain(words.split(' '));
            assert!(matches!(Xtask::try_parse_from(words), Ok(Xtask::Lab(_))));
        }
    }

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
