//! Where things are in this repository.

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

/// The crate of the kernel side, which is a workspace of its own.
#[must_use]
pub fn ebpf_crate() -> PathBuf {
    root().join("tracer-ebpf")
}

/// The daemon as `cargo xtask build` makes it.
#[must_use]
pub fn daemon() -> PathBuf {
    target_dir().join("release/tracer")
}

/// The developer's own cargo, working in the repository.
#[must_use]
pub fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}
