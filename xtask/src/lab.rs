//! The commands of the crate `tracer-lab`: it is built when one of them is called, so that nobody else waits for it. It
//! installs nothing: what its commands need is found or installed here.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process;

use anyhow::{Context, Result};
use clap::Subcommand;

use crate::{daemon, process::run, setup, workspace};

/// What the lab can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make real resets on this machine and watch tracer explain them
    #[command(disable_help_flag = true)]
    Lab(Words),
    /// Watch real servers close idle connections and compare the timeouts that tracer infers
    #[command(disable_help_flag = true)]
    Servers(Words),
    /// Measure what tracer costs, beside what people use today
    #[command(disable_help_flag = true)]
    Bench(Words),
    /// Run the lab under other kernels, in emulated machines
    #[command(disable_help_flag = true)]
    Vm(Words),
    /// Try the README's commands and CI on a machine that has nothing
    #[command(disable_help_flag = true)]
    Fresh(Words),
}

/// Whatever follows: the lab reads it. It is taken from the command line as it is, for clap drops a `--`.
#[derive(clap::Args, Debug, Default)]
pub struct Words {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FLAGS")]
    words: Vec<OsString>,
}

impl Command {
    /// Becomes the lab with these words: its signals and its exit code are the lab's own.
    pub fn exec(&self, words: Vec<OsString>) -> Result<()> {
        let error = self.prepared(words)?.exec();
        Err(error).context("cannot start cargo")
    }

    /// Runs the lab with these words.
    pub fn run(&self, words: &[&str]) -> Result<()> {
        run(&mut self.prepared(words.iter().map(OsString::from).collect())?)
    }

    /// The command line of the lab, with all that it needs in its place.
    fn prepared(&self, words: Vec<OsString>) -> Result<process::Command> {
        let asked = |word: &str| words.iter().any(|given| given == word);
        if !asked("-h") && !asked("--help") {
            // The daemon of `TRACER_BIN` instead, if that is set: as where nothing can be built.
            let is_given = env::var_os("TRACER_BIN").is_some();
            match self {
                Self::Lab(_) if is_given => {}
                Self::Servers(_) if (asked("--failures") || asked("--healthy")) && !asked("--fast") => {
                    setup::tests().and_then(|()| setup::software())?;
                }
                Self::Lab(_) | Self::Servers(_) => setup::tests()?,
                Self::Bench(_) if asked("--instructions") => setup::bench()?,
                Self::Bench(_) => setup::bench().and_then(|()| setup::tests())?,
                Self::Vm(_) => setup::vm()?,
                Self::Fresh(_) => return setup::fresh().map(|()| self.command(words)),
            }
            if !is_given {
                daemon::build()?;
            }
        }
        Ok(self.command(words))
    }

    fn command(&self, words: Vec<OsString>) -> process::Command {
        let mut cargo = workspace::cargo_words("run --locked --package tracer-lab --");
        cargo.arg(self.name()).args(words);
        cargo
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Lab(_) => "lab",
            Self::Servers(_) => "servers",
            Self::Bench(_) => "bench",
            Self::Vm(_) => "vm",
            Self::Fresh(_) => "fresh",
        }
    }
}
