//! Databases that close idle sessions after some seconds, without passwords: their command lines.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::programs;

#[expect(clippy::unnecessary_wraps, reason = "as the others")]
pub(crate) fn redis(endpoint: SocketAddr, directory: &Path, timeout: u32) -> Result<String> {
    let (address, port, files) = (endpoint.ip(), endpoint.port(), directory.display());
    Ok(format!(
        "redis-server --bind {address} --port {port} --protected-mode no --timeout {timeout} --save  --dir {files}"
    ))
}

pub(crate) fn postgres(endpoint: SocketAddr, directory: &Path, timeout: u32) -> Result<String> {
    let files = directory.display();
    let mut installed =
        fs::read_dir("/usr/lib/postgresql").context("no PostgreSQL (Debian package postgresql)")?;
    let program = installed.find_map(Result::ok).context("no PostgreSQL")?.path().join("bin");
    let program = program.display();
    // It does not run as root, and must be able to reach its files.
    let prepare = format!(
        "d={files}; while [ $d != / ] && [ $d != /tmp ]; do chmod a+rx $d; d=$(dirname $d); done; \
         chown postgres {files} && runuser -u postgres -- {program}/initdb -D {files}/data -A trust >/dev/null && \
         echo 'host all all 0.0.0.0/0 trust' >> {files}/data/pg_hba.conf"
    );
    programs::run_quietly(Command::new("sh").args(["-c", &prepare]))?;
    let (address, port) = (endpoint.ip(), endpoint.port());
    Ok(format!(
        "runuser -u postgres -- {program}/postgres -D {files}/data -k {files} -h {address} -p {port} \
         -c idle_session_timeout={timeout}s"
    ))
}

pub(crate) fn mariadb(endpoint: SocketAddr, directory: &Path, timeout: u32) -> Result<String> {
    let files = directory.display();
    let mut prepare = Command::new("mariadb-install-db");
    prepare.args(["--user=root", "--auth-root-authentication-method=normal", "--skip-test-db"]);
    prepare.arg(format!("--datadir={files}/data"));
    let output = prepare.stderr(Stdio::null()).output();
    let done = output.is_ok_and(|output| output.status.success());
    ensure!(done, "MariaDB (Debian package mariadb-server) makes no tables");
    let (address, port) = (endpoint.ip(), endpoint.port());
    Ok(format!(
        "mariadbd --no-defaults --user=root --datadir={files}/data --socket={files}/socket --bind-address={address} \
         --port={port} --skip-name-resolve --skip-grant-tables --wait-timeout={timeout}"
    ))
}
