//! A certificate of a server's own.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::programs;

/// Makes `cert.pem` and its key in `directory`. `HAProxy` finds the key by its name.
pub(crate) fn make(directory: &Path) -> Result<()> {
    let mut openssl = Command::new("openssl");
    let words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout cert.pem.key -out cert.pem \
                 -days 2 -subj /CN=lab -batch";
    openssl.args(words.split(' ')).current_dir(directory).stderr(Stdio::null());
    programs::run_quietly(&mut openssl).context("openssl (Debian package openssl) makes no certificate")
}
