//! Being root, or becoming it.

use std::env;
use std::io::{Write, stderr};
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};
use nix::unistd::Uid;

use crate::process;

/// Whether this process is root.
#[must_use]
pub fn is_root() -> bool {
    Uid::effective().is_root()
}

/// Whether [`as_root`] will find a way.
#[must_use]
pub fn can_be_root() -> bool {
    is_root() || process::find("sudo").is_some()
}

/// A command that runs `program` as root, through sudo when we are not root ourselves, keeping the named variables.
pub fn as_root(program: &Path, keep: &[String]) -> Result<Command> {
    if is_root() {
        return Ok(Command::new(program));
    }
    let Some(sudo) = process::find("sudo") else {
        bail!("{} needs root, and there is no sudo here: run this as root", program.display());
    };
    let mut command = Command::new(sudo);
    if !keep.is_empty() {
        command.arg(format!("--preserve-env={}", keep.join(",")));
    }
    command.arg("--").arg(program);
    Ok(command)
}

/// Whether the test `name` may go on; otherwise says that it is skipped. In CI a skip is a failure.
///
/// # Panics
/// When the variable `CI` is `true` and we are not root.
#[must_use]
pub fn require_root(name: &str) -> bool {
    if is_root() {
        return true;
    }
    let skipped = format!("{name}: skipped: needs root (run sudo -E env PATH=\"$PATH\" cargo xtask test)");
    assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "{skipped}");
    // Not eprintln: the test harness would keep the line of a test that passes to itself.
    let _ = writeln!(stderr(), "{skipped}");
    false
}
