//! What the daemon may do once its probes are attached: read the maps it holds, write to the files it holds, and answer
//! whoever connects. Everything else is given up, and nothing brings it back.

mod capabilities;
mod files;
mod system_calls;
#[cfg(test)]
mod tests;
mod user;

use std::{collections::BTreeSet, path::PathBuf};

use anyhow::{Context as _, Result};
use log::warn;
use nix::sys::prctl;

/// How privileges are given up.
#[derive(Clone, Debug)]
pub struct PrivilegeOptions {
    /// The user to become where started as root, by name or number.
    pub user: String,
    /// Warn where something cannot be given up, instead of ending.
    pub go_on: bool,
}

const KEPT: &str = "a privilege cannot be given up, and only --keep-privileges goes on with it";

/// Gives up everything that is not needed any more. Must run before other threads start: they inherit what is left,
/// while those that run keep what they have. Files in the directories of `readable` can still be read.
pub fn give_up(options: &PrivilegeOptions, readable: &BTreeSet<PathBuf>) -> Result<()> {
    let needed = capabilities::needed();
    // The order matters: each step needs what a later one takes.
    let steps: [&dyn Fn() -> Result<()>; 7] = [
        &capabilities::empty_bounding,
        &|| user::become_user(&options.user, !needed.is_empty()),
        &|| capabilities::keep_only(&needed),
        &|| prctl::set_dumpable(false).context("cannot keep others from reading this process's memory"),
        &|| prctl::set_no_new_privs().context("cannot exclude new privileges"),
        &|| files::restrict(readable),
        &system_calls::restrict,
    ];
    for step in steps {
        match step() {
            Err(error) if options.go_on => warn!("privileges are kept: {error:#}"),
            Err(error) => return Err(error.context(KEPT)),
            Ok(()) => {}
        }
    }
    Ok(())
}
