//! When no more files can be opened: sockets, maps and programs are files too.

use std::io;

use nix::libc::{EMFILE, ENFILE};

/// What to do about it.
pub(crate) const OUT_OF_FILES: &str =
    "no more files can be opened: raise the limit (ulimit -n, in systemd LimitNOFILE=)";

/// Whether this is an error's cause.
pub(crate) fn is_out_of_files(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE))
}
