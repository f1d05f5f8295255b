//! Certificates for as long as a test, and what else stands in a web configuration.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::programs;

/// The bcrypt hash of [`PASSWORD`], at the lowest cost.
pub const HASH: &str = "$2b$04$6ZH8UehT.NowzBpTcX2nA.h6f78zB4OVhEr7XCSHglu28Li8BQQ6W";
/// The password of those who have one.
pub const PASSWORD: &str = "password";

/// A web configuration that asks for both: the certificate of `client`, and this user's password.
#[must_use]
pub fn web_configuration(user: &str) -> String {
    format!(
        "tls_server_config:
  cert_file: server.pem
  key_file: server.key
  client_ca_file: ca.pem
  client_auth_type: RequireAndVerifyClientCert
  client_allowed_sans: [client.example]
basic_auth_users:
  {user}: {HASH}
"
    )
}

/// A directory that every user can read, with an authority (`ca.pem`) and what it certified (`NAME.pem`, `NAME.key`).
pub struct Certificates(TempDir);

impl Certificates {
    /// For each of these names: it stands for `NAME.example` and for this host's loopback.
    pub fn of(names: &[&str]) -> Result<Self> {
        let directory = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir()?;
        openssl(directory.path(), "ca.pem", "ca.key", &["-subj", "/CN=ca"])?;
        for name in names {
            let alternatives = format!("subjectAltName=DNS:{name}.example,DNS:localhost,IP:127.0.0.1");
            let end = "basicConstraints=critical,CA:FALSE";
            let subject = format!("/CN={name}");
            let by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", end, "-addext", &alternatives];
            let more = [&["-subj", subject.as_str()][..], &by].concat();
            let (certificate, key) = (format!("{name}.pem"), format!("{name}.key"));
            openssl(directory.path(), &certificate, &key, &more)?;
            // The daemon reads it as a user who is not root.
            fs::set_permissions(directory.path().join(key), Permissions::from_mode(0o644))?;
        }
        Ok(Self(directory))
    }

    /// A file in the directory.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Puts a file in the place of another, as deployments do.
    pub fn replace(&self, name: &str, text: &str) -> Result<PathBuf> {
        let (new, file) = (self.file("new"), self.file(name));
        fs::write(&new, text)?;
        fs::rename(new, &file)?;
        Ok(file)
    }
}

/// Makes `cert.pem` and its key in `directory`. `HAProxy` finds the key by its name.
pub(crate) fn self_signed(directory: &Path) -> Result<()> {
    openssl(directory, "cert.pem", "cert.pem.key", &["-subj", "/CN=lab"])
}

fn openssl(directory: &Path, certificate: &str, key: &str, more: &[&str]) -> Result<()> {
    let mut openssl = Command::new("openssl");
    let words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -batch";
    openssl.args(words.split(' ')).args(["-keyout", key, "-out", certificate]).args(more);
    openssl.current_dir(directory).stderr(Stdio::null());
    programs::run_quietly(&mut openssl).context("openssl (Debian package openssl) makes no certificate")
}
