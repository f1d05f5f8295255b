//! Where things are in this repository. xtask includes this file.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the repository.
#[must_use]
pub fn root() -> PathBuf {
    // Asked when run, not when compiled: clones that share a target directory share this program.
    let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    // A package is a directory of the repository.
    PathBuf::from(package).parent().map_or_else(|| "/".into(), Path::to_path_buf)
}

/// Where cargo puts what it builds: `target/`, unless `CARGO_TARGET_DIR` says otherwise.
#[must_use]
pub fn target_dir() -> PathBuf {
    let chosen = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    root().join(chosen)
}

/// The daemon as `cargo xtask build` makes it.
#[must_use]
pub fn daemon() -> PathBuf {
    target_dir().join("release/tracer")
}

/// The daemon that is tested: `TRACER_BIN`, else [`daemon`].
#[must_use]
pub fn daemon_under_test() -> PathBuf {
    env::var_os("TRACER_BIN").map_or_else(daemon, PathBuf::from)
}

/// The developer's own cargo with these blank-separated words.
#[must_use]
pub fn cargo_words(words: &str) -> Command {
    let mut cargo = cargo();
    cargo.args(words.split(' '));
    cargo
}

/// The developer's own cargo, working in the repository.
#[must_use]
pub fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}
