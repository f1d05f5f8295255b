//! Being root, or becoming it.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use crate::process;
use anyhow::{Context, Result, bail};

/// Whether this process is root.
#[must_use]
pub(crate) fn is_root() -> bool {
    // A process owns its own directory, by the user that it acts as.
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Whether [`as_root`] will find a way.
#[must_use]
pub(crate) fn can_be_root() -> bool {
    is_root() || process::find("sudo").is_some()
}

/// Makes sure that `what` can be run as root: sudo asks for a password now, rather than after a build of minutes.
pub(crate) fn obtain_root(what: &str) -> Result<()> {
    if is_root() {
        return Ok(());
    }
    process::run_quietly(&mut as_root(Path::new("true"), &[])?)
        .with_context(|| format!("{what} needs root, and sudo gives none: run this as root"))
}

/// A command that runs `program` as root, through sudo when we are not root ourselves, keeping the named variables.
pub(crate) fn as_root(program: &Path, keep: &[String]) -> Result<Command> {
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

/// The words that start a test program as root, for cargo to put before its path: none when we are root.
pub(crate) fn test_runner() -> Result<Vec<String>> {
    if is_root() {
        return Ok(Vec::new());
    }
    let names = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    // What root writes to its home does not belong into ours.
    let keep: Vec<_> = names.filter(|name| name != "HOME").chain(["TRACER_BIN".to_owned()]).collect();
    let mut command = as_root(Path::new("/usr/bin/env"), &keep)?;
    // sudo has a `PATH` of its own, and puts it before ours.
    command.arg(format!("PATH={}", env::var("PATH").unwrap_or_default()));
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    Ok(words.map(|word| word.to_string_lossy().into_owned()).collect())
}
