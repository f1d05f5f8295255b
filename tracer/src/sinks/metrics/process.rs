//! What the daemon itself uses, under the names every Prometheus exporter has.

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike,
};
use procfs::process::Process as ProcFs;
use prometheus::{Counter, Gauge, IntGauge, Registry};

/// The daemon's own use of the machine.
#[derive(Debug)]
pub(super) struct Process {
    cpu: Counter,
    memory: IntGauge,
    fds: IntGauge,
}

impl Process {
    /// Registers the metrics; the start time is set here and never changes.
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let start = Gauge::new(
            "process_start_time_seconds",
            "Start time of the process since the Unix epoch in seconds.",
        )?;
        start.set(start_time().unwrap_or_default());
        registry.register(Box::new(start))?;
        let cpu = Counter::new("process_cpu_seconds_total", "CPU time used by the process in seconds.")?;
        registry.register(Box::new(cpu.clone()))?;
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            prometheus::Result::Ok(gauge)
        };
        Ok(Self {
            cpu,
            memory: gauge("process_resident_memory_bytes", "Resident memory of the process in bytes.")?,
            fds: gauge("process_open_fds", "File descriptors the process has open.")?,
        })
    }

    /// Reads the current values. What cannot be read keeps its last value.
    #[expect(clippy::cast_precision_loss, reason = "exact to a microsecond for 285 years of CPU time")]
    pub(super) fn refresh(&self) {
        if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
            let microseconds = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
            self.cpu.inc_by((microseconds as f64 / 1e6 - self.cpu.get()).max(0.0));
        }
        let Ok(process) = ProcFs::myself() else { return };
        if let Ok(statm) = process.statm() {
            self.memory.set(i64::try_from(statm.resident * procfs::page_size()).unwrap_or(i64::MAX));
        }
        if let Ok(count) = process.fd_count() {
            self.fds.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds since 1970 with two decimals")]
fn start_time() -> Option<f64> {
    use procfs::CurrentSI;
    let boot = procfs::KernelStats::current().ok()?.btime as f64;
    let ticks = ProcFs::myself().ok()?.stat().ok()?.starttime as f64;
    Some(boot + ticks / procfs::ticks_per_second() as f64)
}
