//! A server program, run with a configuration of ours.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::testbed::host::Host;
use crate::testbed::process::Process;

/// Should the lab be killed, no server outlives it for much longer than the longest run: in seconds.
const LIFETIME: &str = "7200";

/// A running server program and its children, ended when dropped.
pub(crate) struct ServerProgram {
    process: Process,
}

impl ServerProgram {
    /// Starts `words` on `host` and waits until it listens at `endpoint`. What it says goes into a file of `directory`.
    pub(crate) fn start<Word: AsRef<OsStr> + Sync>(
        host: &Host,
        endpoint: SocketAddr,
        words: &[Word],
        directory: &Path,
    ) -> Result<Self> {
        let log = directory.join(format!("{}.log", endpoint.port()));
        let process = host.enter(|| {
            // `timeout` passes a signal on to all the program's processes.
            let mut command = Command::new("timeout");
            command.args(["--kill-after=3", LIFETIME]).args(words).stdin(Stdio::null());
            command.stdout(File::create(&log)?).stderr(File::options().append(true).open(&log)?);
            let mut process = Process::start(&mut command)?;
            process.until("the server to listen", Some(&log), || {
                let mut table = fs::read_to_string("/proc/thread-self/net/tcp")?;
                // Some serve IPv4 on a socket of IPv6.
                table += &fs::read_to_string("/proc/thread-self/net/tcp6").unwrap_or_default();
                Ok(is_listening(&table, endpoint.port()).then_some(()))
            })?;
            Ok(process)
        })?;
        Ok(Self { process })
    }

    /// Sends the program and its children a signal, without a word to those that watch it here.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        for process in descendants(self.process.id())? {
            kill(Pid::from_raw(process), signal)?;
        }
        Ok(())
    }
}

/// The children of a process, and theirs.
fn descendants(process: u32) -> Result<Vec<i32>> {
    let mut found = Vec::new();
    for child in fs::read_to_string(format!("/proc/{process}/task/{process}/children"))?.split_whitespace() {
        found.push(child.parse()?);
        found.extend(descendants(child.parse()?)?);
    }
    Ok(found)
}

/// Whether such a table has a listener at the port: to try to connect before there is one would be another reset.
fn is_listening(table: &str, port: u16) -> bool {
    table.lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        let local = words.next().unwrap_or("");
        local.ends_with(&format!(":{port:04X}")) && words.nth(1) == Some("0A")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_found_by_its_port_and_a_connection_is_none() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue
   0: 01014D0A:1F90 00000000:0000 0A 00000000:00000000
   1: 01014D0A:1F91 01024D0A:1F92 01 00000000:00000000
";
        assert_eq!([8080, 8081, 8082].map(|port| is_listening(table, port)), [true, false, false]);
    }
}
