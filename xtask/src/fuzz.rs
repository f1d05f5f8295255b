//! `cargo xtask fuzz`: libFuzzer on what reads untrusted bytes.
//!
//! cargo-fuzz knows the same targets, but needs a nightly compiler for its sanitizer. Code that is safe shows its
//! mistakes as panics, and the coverage that libFuzzer is led by is an LLVM pass that any compiler has.

mod seeds;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use tracer_common::RecordWithLine;

use crate::debian::{self, Needed};
use crate::{process, workspace};

/// libFuzzer is C++.
const PROGRAMS: [Needed; 1] = [Needed::new("c++", "build-essential", "compiles libFuzzer")];

/// What cargo-fuzz compiles with, less the sanitizer.
const FLAGS: [&str; 7] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];

/// Fuzzes what reads untrusted bytes.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Seconds for each target
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Only this target
    #[arg(long, value_name = "NAME")]
    target: Option<Target>,
    /// Only run this input once more
    #[arg(long, value_name = "FILE", requires = "target", conflicts_with = "seconds")]
    replay: Option<PathBuf>,
}

impl Args {
    /// Every target, for `seconds` each.
    #[must_use]
    pub fn all(seconds: u64) -> Self {
        Self { seconds, target: None, replay: None }
    }
}

/// A program in `fuzz/fuzz_targets`.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Target {
    /// Payload, of which a request line is shown
    RequestLine,
    /// Records of the ring, of which resets are shown
    Records,
}

/// Installs what the fuzzer needs besides what the build needs.
pub fn setup() -> Result<()> {
    debian::ensure(&PROGRAMS)
}

/// Clippy for the targets.
#[must_use]
pub fn clippy() -> Command {
    cargo("clippy", &["--bins", "--", "-D", "warnings"])
}

/// Builds the targets, and runs each for a while or one of them once.
pub fn run(arguments: &Args) -> Result<()> {
    process::step("building the fuzzer");
    process::run(&mut cargo("build", &["--bins"]))?;
    if let (Some(target), Some(file)) = (arguments.target, &arguments.replay) {
        let unreadable = || format!("cannot replay {}: name a file that a finding left", file.display());
        // The program runs in the root of the repository.
        let file = file.canonicalize().with_context(unreadable)?;
        return process::run(target.program().arg(file));
    }
    let only = arguments.target.as_slice();
    let targets = if only.is_empty() { Target::value_variants() } else { only };
    targets.iter().try_for_each(|target| target.fuzz(arguments.seconds))
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Self::RequestLine => "request_line",
            Self::Records => "records",
        }
    }

    /// Bytes of an input: longer ones only take longer.
    fn max_len(self) -> usize {
        match self {
            Self::RequestLine => 512,
            Self::Records => seeds::OPTIONS + 24 * size_of::<RecordWithLine>(),
        }
    }

    /// The target, to be run with arguments of libFuzzer's.
    fn program(self) -> Command {
        let mut program = cargo("run", &["--quiet", "--bin", self.name(), "--"]);
        program.env("RUST_BACKTRACE", "1");
        program
    }

    fn fuzz(self, seconds: u64) -> Result<()> {
        process::step(&format!("fuzzing {} for {seconds} s", self.name()));
        // What was found before is tried again, before anything new is.
        let [corpus, found, seeds] =
            ["corpus", "found", "seeds"].map(|what| home().join(what).join(self.name()));
        for directory in [&corpus, &found, &seeds] {
            fs::create_dir_all(directory)
                .with_context(|| format!("cannot create {}", directory.display()))?;
        }
        self.seed(&seeds)?;
        let begun = SystemTime::now();
        let mut program = self.program();
        program
            .args([format!("-max_total_time={seconds}"), format!("-max_len={}", self.max_len())])
            .args(["-timeout=5", "-rss_limit_mb=1024", "-print_final_stats=1"])
            // Made into a path this ends with a slash, which makes it a directory to libFuzzer.
            .arg(format!("-artifact_prefix={}", found.join("").display()))
            .args([&corpus, &found, &seeds]);
        let Err(error) = process::run(&mut program) else { return Ok(()) };
        match newest(&found, begun) {
            Some(file) => bail!(
                "an input breaks {}, as said above: try it again with `cargo xtask fuzz --target {} --replay {}`",
                self.name(),
                self.name(),
                file.display()
            ),
            None => Err(error),
        }
    }

    /// Writes down what to begin with.
    fn seed(self, into: &Path) -> Result<()> {
        let seeds = match self {
            Self::RequestLine => seeds::requests(),
            Self::Records => seeds::recordings()?,
        };
        for (name, seed) in seeds.iter().enumerate() {
            fs::write(into.join(name.to_string()), seed)
                .with_context(|| format!("cannot write to {}", into.display()))?;
        }
        Ok(())
    }
}

/// The last file of those that were written since `begun`.
fn newest(directory: &Path, begun: SystemTime) -> Option<PathBuf> {
    let written = |file: &PathBuf| file.metadata().and_then(|about| about.modified()).ok();
    let files = seeds::files(directory).ok()?.into_iter();
    files.filter(|file| written(file).is_some_and(|at| at >= begun)).max_by_key(written)
}

/// Where the fuzzer keeps what it builds and finds.
fn home() -> PathBuf {
    workspace::target_dir().join("fuzz")
}

/// Cargo for the fuzzer's crate. With a target named, even if it is this machine, the flags are not for build scripts.
fn cargo(command: &str, more: &[&str]) -> Command {
    let mut cargo = workspace::cargo();
    cargo
        .arg(command)
        .args(["--release", "--locked", "--target", "host-tuple", "--manifest-path"])
        .arg(workspace::root().join("fuzz/Cargo.toml"))
        .arg("--target-dir")
        .arg(home().join("build"))
        .args(more)
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"));
    cargo
}
