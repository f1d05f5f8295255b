//! The commands, one function each.

use std::ffi::OsString;

use anyhow::{Result, anyhow};

use crate::lab::{Command as Lab, Words};
use crate::workspace::cargo_words as cargo;
use crate::{daemon, ebpf, fuzz, privilege, process, setup, workspace};

/// Builds both sides and runs all tests, with `flags` for `cargo test`: as root where root can be had.
pub fn test(flags: &[OsString]) -> Result<()> {
    let root = privilege::obtain_root("what the end-to-end tests do").and_then(|()| privilege::test_runner());
    setup::tests()?;
    daemon::build()?;
    process::step("testing");
    // The lab runs them, so that it can sum up what they say.
    let mut tests = cargo("run --locked --package tracer-lab -- test --workspace --locked");
    match root {
        // A list: the words may hold blanks, and it is for every target.
        Ok(words) if !words.is_empty() => {
            tests.args(["--config", &format!("target.'cfg(all())'.runner = {words:?}")]);
        }
        Ok(_) => {}
        Err(why) => process::step(&format!("{why:#}; they are skipped")),
    }
    // The end-to-end tests start the daemon that users get.
    process::run(tests.args(flags).env("TRACER_BIN", workspace::daemon()))
        .map_err(|_| anyhow!("the tests did not all pass, see above"))
}

/// The kernels that a change must pass on besides the machine's own: the oldest supported, and the last ones before and
/// with reset reasons in Debian's stable releases.
const KERNELS: [&str; 3] = ["5.10", "6.1", "6.12"];

/// Seconds for each of the fuzzer's targets: enough for what is easy to find.
const FUZZING: u64 = 15;

/// What a change must pass, the quick parts first: formatting, lints, tests, fuzzing, other
/// kernels, the longer keep-alive timeouts of real servers, and the requests they lose.
pub fn ci() -> Result<()> {
    process::step("checking the format");
    process::run(&mut cargo("fmt --all --check"))?;
    process::run(cargo("fmt --check").current_dir(ebpf::source()))?;
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
    // With a tracer of which everything is asked.
    Lab::Vm(Words::default()).run(&[&KERNELS[..], &["--", "--requests", "--request-lines"]].concat())?;
    if !privilege::is_root() {
        process::step("the comparison of keep-alive timeouts needs root: it is skipped");
        return Ok(());
    }
    let servers = |words| Lab::Servers(Words::default()).run(words);
    process::step("comparing keep-alive timeouts");
    servers(&[])?;
    process::step("losing requests on real software");
    servers(&["--failures", "--fast"])
}

/// Fuzzes what reads untrusted bytes.
pub fn fuzz(arguments: &fuzz::Args) -> Result<()> {
    fuzz::setup()?;
    fuzz::run(arguments)
}
