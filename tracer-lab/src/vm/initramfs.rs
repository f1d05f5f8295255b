//! The first and only file system of a guest: the lab, the daemon, and what they call.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::testbed::process;
use crate::vm::cpio::Archive;
use crate::vm::kernel::Kernel;
use crate::vm::{elf, modules};
use crate::workspace;

/// What the guest runs as its first process.
const INIT: &str = include_str!("init.sh");
/// What the init calls, and the lab.
const PROGRAMS: [&str; 7] = ["busybox", "tcpdump", "ip", "tc", "ss", "timeout", "perl"];
/// `tcpdump` wants to know who root is.
const USERS: &str = "root:x:0:0:root:/:/bin/sh\n";

/// Writes the archive for `kernel` into `directory`; its lab gets `flags`.
pub(crate) fn build(kernel: &Kernel, flags: &[String], directory: &Path) -> Result<PathBuf> {
    let mut archive = Archive::default();
    for mount_point in ["/dev", "/proc", "/sys", "/tmp", "/run"] {
        archive.directory(mount_point)?;
    }
    archive.file("/init", INIT.as_bytes())?;
    archive.file("/etc/passwd", USERS.as_bytes())?;
    archive.file("/etc/lab", flags.join(" ").as_bytes())?;
    add_modules(&mut archive, kernel)?;
    archive.link("/bin/busybox", "../usr/bin/busybox")?;
    archive.link("/bin/sh", "busybox")?;
    add_programs(&mut archive)?;
    let path = directory.join("initramfs");
    let write = || {
        fs::create_dir_all(directory)?;
        fs::write(&path, archive.finish()?)?;
        anyhow::Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn add_modules(archive: &mut Archive, kernel: &Kernel) -> Result<()> {
    let modules = modules::needed(&kernel.modules)?;
    let names: Vec<_> = modules.iter().map(|module| module.name.as_str()).collect();
    archive.file("/modules/order", names.join("\n").as_bytes())?;
    for module in &modules {
        archive.file(&format!("/modules/{}.ko", module.name), &module.object)?;
    }
    Ok(())
}

/// Adds the programs to `/usr/bin`, and their libraries where the programs look for them.
fn add_programs(archive: &mut Archive) -> Result<()> {
    // Not by its path: cargo may have built another one since.
    let lab = PathBuf::from(format!("/proc/{}/exe", std::process::id()));
    let mut programs = vec![("tracer", workspace::daemon_under_test()), ("tracer-lab", lab)];
    for name in PROGRAMS {
        programs.push((name, process::find(name).with_context(|| format!("no {name}"))?));
    }
    let mut libraries = Vec::new();
    for (name, path) in programs {
        archive.file(&format!("/usr/bin/{name}"), &read(&path)?)?;
        libraries.extend(elf::libraries(&path)?);
    }
    libraries.sort_unstable();
    libraries.dedup();
    for library in libraries {
        archive.file(&library, &read(Path::new(&library))?)?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
