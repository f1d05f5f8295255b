//! An emulated machine: boots, runs the lab, switches itself off, and is ended if it does not.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::testbed::process::Process;
use crate::vm::kernel::Kernel;
use crate::vm::recordings;

const MEMORY: &str = "768";
/// The guest's clock goes by what it executes, 4 ns an instruction, and leaps over idle time: a busy host makes a guest
/// take longer, but nothing in it late. With such a clock a second processor would only be waited for in turns.
const CLOCK: &str = "shift=2,sleep=off";
const PROCESSORS: &str = "1";
/// A panic ends the machine; what the kernel says goes to the first serial port. Emulation is slow enough without
/// mitigations.
const COMMAND_LINE: &str = "console=ttyS0 loglevel=5 panic=-1 mitigations=off";

/// Boots `kernel` and returns what the guest's init said. What it and the kernel say is kept in `logs`, as are its
/// recordings.
pub(crate) fn run(kernel: &Kernel, initramfs: &Path, logs: &Path, limit: Duration) -> Result<String> {
    let (init, complaints) = (logs.join("lab"), logs.join("qemu"));
    // What comes out of the serial ports, in their order.
    let ports = [&logs.join("console"), &init, &recordings::brought_to(logs)];
    for port in ports {
        fs::write(port, "").with_context(|| format!("cannot write {}", port.display()))?;
    }
    let mut command = Command::new("qemu-system-x86_64");
    // No KVM: where it is there at all, it may be broken.
    command.args(["-accel", "tcg", "-icount", CLOCK, "-cpu", "max", "-smp", PROCESSORS, "-m", MEMORY]);
    command.args(["-no-reboot", "-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none"]);
    command.arg("-kernel").arg(&kernel.image).arg("-initrd").arg(initramfs).arg("-append");
    // What the kernel does not know becomes a variable of the init's.
    command.arg(format!("{COMMAND_LINE} time_limit={}", limit.as_secs()));
    for port in ports {
        command.arg("-serial").arg(format!("file:{}", port.display()));
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&complaints)?);
    let ended = Process::start(&mut command)?.wait_for(limit)?;
    let said = String::from_utf8_lossy(&fs::read(&init)?).replace('\r', "");
    match ended {
        Some(status) if status.success() => Ok(said),
        Some(_) => bail!("qemu failed: {}", fs::read_to_string(&complaints).unwrap_or_default().trim()),
        None => Ok(format!("{said}\n::: overdue after {} s\n", limit.as_secs())),
    }
}
