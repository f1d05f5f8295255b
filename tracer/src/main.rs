//! The `tracer` program: parse, run, exit.

#![forbid(unsafe_code)]

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use tracer::{
    commands,
    config::{Command, Config},
    log,
};

fn main() -> ExitCode {
    match run(Config::from_environment()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody may be reading: then the exit code has to do.
            let _ = writeln!(io::stderr(), "tracer: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: Config) -> Result<()> {
    // Until this returns: what was logged comes before the last word.
    let log = log::start(flags.log_level);
    match flags.command {
        Some(Command::Replay(replay)) => {
            log.write().context("cannot start a thread")?;
            commands::replay::run(&replay)
        }
        None => commands::run::run(flags.into(), &log),
    }
}
