//! What the daemon itself uses, under the names every Prometheus exporter has.

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike,
};
use procfs::process::Process as ProcFs;
use prometheus::{Counter, Opts, Registry};

use super::family::{Standing, Value as _};

/// This process in `/proc`, opened before privileges are given up: then nothing else there can be.
pub struct OwnProcess {
    proc: Option<ProcFs>,
    started: Option<f64>,
}

impl OwnProcess {
    /// Opens it. What is not there is left out.
    #[must_use]
    pub fn open() -> Self {
        let proc = ProcFs::myself().ok();
        let started = proc.as_ref().and_then(start_time);
        Self { proc, started }
    }
}

/// The daemon's own use of the machine.
pub(super) struct Process {
    own: OwnProcess,
    cpu: Counter,
    memory: Standing,
    fds: Standing,
}

impl Process {
    /// Registers the metrics; the start time is set here and never changes.
    pub(super) fn register(registry: &Registry, own: OwnProcess) -> prometheus::Result<Self> {
        let cpu = Counter::new("process_cpu_seconds_total", "CPU time used by the process in seconds.")?;
        registry.register(Box::new(cpu.clone()))?;
        let gauge = |name: &str, help: &str| {
            let gauge = Standing::new(Opts::new(name, help), &[])?;
            registry.register(Box::new(gauge.clone()))?;
            prometheus::Result::Ok(gauge)
        };
        let start = gauge(
            "process_start_time_seconds",
            "Start time of the process since the Unix epoch in seconds.",
        )?;
        start.show_known(own.started);
        Ok(Self {
            own,
            cpu,
            memory: gauge("process_resident_memory_bytes", "Resident memory of the process in bytes.")?,
            fds: gauge("process_open_fds", "File descriptors the process has open.")?,
        })
    }

    /// Reads the current values. What cannot be read, as without `/proc`, is not shown.
    #[expect(
        clippy::cast_precision_loss,
        reason = "exact to a microsecond for 285 years of CPU time, and to 2^53 bytes"
    )]
    pub(super) fn refresh(&self) {
        if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
            let microseconds = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
            self.cpu.inc_by((microseconds as f64 / 1e6 - self.cpu.get()).max(0.0));
        }
        let process = self.own.proc.as_ref();
        let pages = process.and_then(|process| process.statm().ok()).map(|statm| statm.resident);
        self.memory.show_known(pages.map(|pages| (pages * procfs::page_size()) as f64));
        let files = process.and_then(|process| process.fd_count().ok());
        self.fds.show_known(files.map(|files| files as f64));
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds since 1970 with two decimals")]
fn start_time(process: &ProcFs) -> Option<f64> {
    use procfs::CurrentSI;
    let boot = procfs::KernelStats::current().ok()?.btime as f64;
    let ticks = process.stat().ok()?.starttime as f64;
    Some(boot + ticks / procfs::ticks_per_second() as f64)
}
