//! Being root.

use std::env;
use std::io::{Write, stderr};

use nix::unistd::Uid;

/// Whether this process is root.
#[must_use]
pub fn is_root() -> bool {
    Uid::effective().is_root()
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
    let skipped = format!("{name}: skipped: needs root");
    assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "{skipped}");
    // Not eprintln: the test harness would keep the line of a test that passes to itself.
    let _ = writeln!(stderr(), "{skipped}");
    false
}
