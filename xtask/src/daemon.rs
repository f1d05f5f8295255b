//! The daemon, with the kernel side in it.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;

use anyhow::{Context, Result};

use crate::workspace::cargo_words as cargo;
use crate::{ebpf, privilege, process, workspace};

/// Builds both sides.
pub fn build() -> Result<()> {
    ebpf::build()?;
    process::step("building the daemon: its last step, half a minute or more, says nothing");
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
