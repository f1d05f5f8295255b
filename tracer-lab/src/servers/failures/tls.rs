//! Servers behind TLS, which the lab itself does not speak.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::programs;
use crate::servers::failures::upstream::PYTHON;

/// How long `server` kept so many idle connections of this host.
pub(crate) fn idle_closes(server: SocketAddr, count: usize) -> Result<Vec<Duration>> {
    let mut program = Command::new(PYTHON);
    program.args(["-c", include_str!("programs/idle.py"), &server.ip().to_string()]);
    program.args([server.port().to_string(), count.to_string()]);
    let said = programs::output(&mut program).context("Python cannot measure a TLS server")?;
    let seconds = said.lines().map(|line| Ok(Duration::from_secs_f64(line.parse()?)));
    let closes = seconds.collect::<Result<Vec<_>>>()?;
    ensure!(closes.len() == count, "{server} closed {} of {count} idle connections", closes.len());
    Ok(closes)
}
