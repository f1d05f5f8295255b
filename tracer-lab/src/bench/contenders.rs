//! What is attached while nginx is under load: one row each.

use std::any::Any;
use std::process::{Command, Stdio};

use anyhow::Result;

use crate::bench::daemon;
use crate::bench::testbed::{PORT, Testbed};
use crate::testbed::process::Process;
use crate::workspace;

/// Something to attach.
pub(crate) struct Contender {
    /// Its name in the table.
    pub(crate) name: &'static str,
    /// Whether it can be attached here.
    pub(crate) exists: fn() -> bool,
    /// Attaches it.
    pub(crate) attach: fn(&Testbed) -> Result<Attached>,
}

/// What is attached, until it is dropped.
type Attached = Box<dyn Any>;

/// All of them.
pub(crate) const CONTENDERS: [Contender; 7] = [
    // How far two measurements of the same thing differ.
    Contender { name: "nothing", exists: || true, attach: |_| Ok(Box::new(())) },
    Contender { name: "tracer", exists: || true, attach: |_| tracer(&[]) },
    Contender {
        name: "tracer --requests",
        exists: || daemon::knows("--requests"),
        attach: |_| tracer(&["--requests"]),
    },
    Contender {
        name: "tracer --request-lines",
        exists: || daemon::knows("--request-lines"),
        attach: |_| tracer(&["--request-lines"]),
    },
    Contender { name: "bpftrace script", exists: || true, attach: bpftrace },
    Contender {
        name: "tcpdump of RSTs",
        exists: || true,
        attach: |testbed| tcpdump(testbed, "tcp[tcpflags] & tcp-rst != 0"),
    },
    Contender {
        name: "tcpdump of the port",
        exists: || true,
        attach: |testbed| tcpdump(testbed, &format!("tcp port {PORT}")),
    },
];

fn tracer(flags: &[&str]) -> Result<Attached> {
    Ok(Box::new(daemon::start(flags)?))
}

/// The script of this repository. It finds tracepoints in a file system that is not mounted everywhere.
fn bpftrace(_: &Testbed) -> Result<Attached> {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c"])
        .arg("mount -t tracefs tracefs /sys/kernel/tracing && exec bpftrace \"$0\"")
        .arg(workspace::root().join("bench/resets.bt"))
        .env("BPFTRACE_MAP_KEYS_MAX", "65536")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut program = Process::start(&mut command)?;
    program.says("attached")?;
    Ok(Box::new(program))
}

/// Into a file that goes with the testbed.
fn tcpdump(testbed: &Testbed, filter: &str) -> Result<Attached> {
    let mut command = Command::new("tcpdump");
    command
        .args(["-Z", "root", "-n", "-i", "eth0", "-w"])
        .arg(testbed.directory().join("capture.pcap"))
        .arg(filter)
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    let mut program = testbed.link.server.enter(|| Process::start(&mut command))?;
    program.says("listening on")?;
    Ok(Box::new(program))
}
