//! Capabilities: none is left, but for one on old kernels.

use anyhow::{Context as _, Result};
use aya::util::KernelVersion;
use caps::{CapSet, Capability, CapsHashSet};

/// From here on whoever holds a map's descriptor may use it (`__sys_bpf`, `kernel/bpf/syscall.c`). Before, where
/// `kernel.unprivileged_bpf_disabled` is set, every command of `bpf()` needs a capability, and reading counters is one.
const DESCRIPTORS_ARE_ENOUGH: KernelVersion = KernelVersion::new(5, 19, 0);

/// The capabilities that this process needs from now on, of those it has.
pub(super) fn needed() -> CapsHashSet {
    if KernelVersion::current().is_ok_and(|version| version >= DESCRIPTORS_ARE_ENOUGH) {
        return CapsHashSet::new();
    }
    // Either is enough (`bpf_capable`, `include/linux/capability.h`).
    let enough = [Capability::CAP_BPF, Capability::CAP_SYS_ADMIN];
    enough.into_iter().find(|&capability| has(capability)).into_iter().collect()
}

/// Empties the bounding set. Who may not do that is not root, and `no_new_privs` leaves the set without effect.
pub(super) fn empty_bounding() -> Result<()> {
    if !has(Capability::CAP_SETPCAP) {
        return Ok(());
    }
    caps::clear(None, CapSet::Bounding).context("cannot empty the bounding set of capabilities")
}

/// Drops all capabilities but these.
pub(super) fn keep_only(needed: &CapsHashSet) -> Result<()> {
    let drop = || {
        caps::clear(None, CapSet::Ambient)?;
        // Where another user was become the effective ones are gone; the permitted ones allow to raise them again.
        caps::set(None, CapSet::Effective, needed)?;
        caps::set(None, CapSet::Permitted, needed)?;
        caps::clear(None, CapSet::Inheritable)
    };
    drop().context("cannot drop capabilities")
}

fn has(capability: Capability) -> bool {
    caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false)
}
