//! The commands, one function each.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{bench, ebpf, fuzz, lab, privilege, process, setup, summary, vm, workspace};

/// Builds both sides.
pub fn build() -> Result<()> {
    ebpf::build()?;
    process::step("building the daemon");
    process::run(&mut cargo("build --release --locked --package tracer"))
}

/// Builds what is missing and becomes the daemon, as root: its signals and its exit code are the daemon's own.
pub fn run(flags: &[OsString]) -> Result<()> {
    privilege::obtain_root("the daemon")?;
    build()?;
    let variables = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let keep: Vec<_> = variables.filter(|name| name.starts_with("TRACER_")).collect();
    let mut daemon = privilege::as_root(&workspace::daemon(), &keep)?;
    let error = daemon.args(flags).env_remove("LD_LIBRARY_PATH").exec();
    Err(error).with_context(|| format!("cannot start {}", daemon.get_program().display()))
}

/// Builds both sides and runs all tests, with `flags` for `cargo test`: as root where root can be had.
pub fn test(flags: &[OsString]) -> Result<()> {
    let root = privilege::obtain_root("what the end-to-end tests do").and_then(|()| privilege::test_runner());
    setup::tests()?;
    build()?;
    process::step("testing");
    let mut tests = cargo("test --workspace --locked --no-fail-fast");
    match root {
        // A list: the words may hold blanks, and it is for every target.
        Ok(words) if !words.is_empty() => {
            tests.args(["--config", &format!("target.'cfg(all())'.runner = {words:?}")]);
        }
        Ok(_) => {}
        Err(why) => process::step(&format!("{why:#}; they are skipped")),
    }
    // The end-to-end tests start the daemon that users get.
    tests.args(flags).env("TRACER_BIN", workspace::daemon());
    summary::run(tests)
}

/// The kernels that a change must pass on besides the machine's own: the oldest supported, and the last ones before and
/// with reset reasons in Debian's stable releases.
const KERNELS: [&str; 3] = ["5.10", "6.1", "6.12"];

/// Seconds for each of the fuzzer's targets: enough for what is easy to find.
const FUZZING: u64 = 15;

/// What a change must pass, the quick parts first: formatting, lints, tests, inputs that nobody thought of, other kernels, and
/// the longer keep-alive timeouts of real servers.
pub fn ci() -> Result<()> {
    process::step("checking the format");
    process::run(&mut cargo("fmt --all --check"))?;
    process::run(cargo("fmt --check").current_dir(workspace::ebpf_crate()))?;
    process::run(cargo("fmt --check").current_dir(workspace::root().join("fuzz")))?;
    // The daemon does not compile without the object.
    ebpf::build()?;
    process::step("linting");
    ebpf::clippy()?;
    process::run(&mut cargo("clippy --workspace --all-targets --locked -- -D warnings"))?;
    test(&[])?;
    fuzz(&fuzz::Args::all(FUZZING))?;
    process::run(&mut fuzz::clippy())?;
    process::step("trying other kernels");
    vm(&vm::Args::kernels(&KERNELS))?;
    if privilege::require_root("the comparison of keep-alive timeouts") {
        process::step("comparing keep-alive timeouts");
        servers(&lab::servers::Args::all())?;
    }
    Ok(())
}

/// Builds both sides and plays the laboratory's resets under the daemon; under `TRACER_BIN` instead if that is set.
pub fn lab(arguments: lab::Args) -> Result<()> {
    if env::var_os("TRACER_BIN").is_none() {
        setup::tests()?;
        build()?;
    }
    lab::run(arguments)
}

/// Builds both sides and compares the keep-alive timeouts of real servers with what the daemon infers; the one of
/// `TRACER_BIN` instead if that is set.
pub fn servers(arguments: &lab::servers::Args) -> Result<()> {
    setup::tests()?;
    if env::var_os("TRACER_BIN").is_none() {
        build()?;
    }
    lab::servers::run(arguments)
}

/// Builds both sides and plays the laboratory's resets under other kernels; with `TRACER_BIN` instead if that is set.
pub fn vm(arguments: &vm::Args) -> Result<()> {
    setup::lab()?;
    if env::var_os("TRACER_BIN").is_none() {
        build()?;
    }
    vm::run(arguments)
}

/// Builds both sides and measures what the daemon costs; the one of `TRACER_BIN` instead if that is set.
pub fn bench(arguments: &bench::Args) -> Result<()> {
    bench::setup()?;
    if !arguments.instructions() {
        setup::tests()?;
    }
    if env::var_os("TRACER_BIN").is_none() {
        build()?;
    }
    bench::run(arguments)
}

/// Throws inputs that nobody thought of at what reads bytes that strangers choose.
pub fn fuzz(arguments: &fuzz::Args) -> Result<()> {
    fuzz::setup()?;
    fuzz::run(arguments)
}

fn cargo(words: &str) -> Command {
    let mut cargo = workspace::cargo();
    cargo.args(words.split(' '));
    cargo
}
