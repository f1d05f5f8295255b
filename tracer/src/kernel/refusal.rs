//! Why the kernel refuses to load the eBPF object, as far as this process can find out about itself.

use std::{fs, io, os::unix::fs::MetadataExt as _};

use aya::util::KernelVersion;
use nix::libc::EPERM;
use procfs::process::Process;

use crate::descriptors::{OUT_OF_FILES, is_out_of_files};

/// The inode of the host's user namespace (`PROC_USER_INIT_INO`, `include/linux/proc_ns.h`).
const HOST_USER_NAMESPACE: u64 = 0xEFFF_FFFD;

/// `SECCOMP_MODE_FILTER` (`include/uapi/linux/seccomp.h`).
const SECCOMP_FILTER: u32 = 2;

/// What to do about a user namespace: its capabilities count for what belongs to it, and eBPF belongs to the host.
pub(super) const USER_NAMESPACE: &str = "loading eBPF programs needs capabilities of the host, and this process is in \
     a user namespace of its own: run it in the host's (in Kubernetes `hostUsers: true`, in Docker and Podman \
     rootful and without a mapping of users)";

const SECCOMP: &str = "the kernel refused the eBPF object although the capabilities are there, and this process has a \
     seccomp filter: let that allow bpf() and perf_event_open() (in Kubernetes `seccompProfile: {type: Unconfined}`, \
     in Docker and Podman `--security-opt seccomp=unconfined`, in systemd SystemCallFilter=)";

const LOCKED_MEMORY: &str = "the kernel refused the eBPF object: before 5.11 it needs unlimited locked memory, so \
     grant CAP_SYS_RESOURCE or set LimitMEMLOCK=infinity (ulimit -l unlimited)";

const OTHER: &str =
    "the kernel refused the eBPF object: it is older than 5.10, or lockdown=confidentiality is set";

/// One sentence on why loading failed with `error`, and what to do. `locked_memory` is whether it could be made
/// unlimited.
pub(super) fn explain(error: &anyhow::Error, locked_memory: nix::Result<()>) -> &'static str {
    if io_errors(error).any(is_out_of_files) {
        OUT_OF_FILES
    } else if !io_errors(error).any(|cause| cause.raw_os_error() == Some(EPERM)) {
        OTHER
    } else if in_user_namespace() {
        USER_NAMESPACE
    } else if locked_memory.is_err() && maps_are_locked_memory() {
        LOCKED_MEMORY
    } else if has_seccomp_filter() {
        SECCOMP
    } else {
        OTHER
    }
}

/// Whether this process is in another user namespace than the host's.
pub(super) fn in_user_namespace() -> bool {
    fs::metadata("/proc/self/ns/user").is_ok_and(|namespace| namespace.ino() != HOST_USER_NAMESPACE)
}

fn io_errors(error: &anyhow::Error) -> impl Iterator<Item = &io::Error> {
    error.chain().filter_map(|cause| cause.downcast_ref())
}

fn maps_are_locked_memory() -> bool {
    KernelVersion::current().is_ok_and(|version| version < KernelVersion::new(5, 11, 0))
}

fn has_seccomp_filter() -> bool {
    let status = Process::myself().and_then(|process| process.status());
    status.is_ok_and(|status| status.seccomp == Some(SECCOMP_FILTER))
}
