//! The `tracer` daemon: parse, run, exit.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Parser;
use tracer::{config::Config, log};

fn main() -> ExitCode {
    let config = Config::parse();
    let result = log::start(config.log_level).context("cannot start a thread").and_then(|log| {
        let result = tracer::run(config);
        // What was logged comes before the last word.
        drop(log);
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody may be reading: then the exit code has to do.
            let _ = writeln!(io::stderr(), "tracer: {error:#}");
            ExitCode::FAILURE
        }
    }
}
