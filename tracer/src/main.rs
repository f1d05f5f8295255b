//! The `tracer` daemon: parse, run, exit.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;
use tracer::config::Config;

fn main() -> ExitCode {
    let config = Config::parse();
    env_logger::Builder::new()
        .filter_level(config.log_level)
        .format_timestamp_millis()
        .format_target(false)
        .init();
    match tracer::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody may be reading: then the exit code has to do.
            let _ = writeln!(io::stderr(), "tracer: {error:#}");
            ExitCode::FAILURE
        }
    }
}
