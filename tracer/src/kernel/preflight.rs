//! What must be there before anything is loaded, each with a sentence that helps when it is not.

use anyhow::{Context as _, Result, bail, ensure};
use caps::{CapSet, Capability};

use super::{btf::Btf, refusal};
use crate::descriptors::explain;

const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

/// Checks privileges and reads the kernel's type information.
pub(crate) fn check() -> Result<Btf> {
    privileges()?;
    let bytes = std::fs::read(BTF_PATH).map_err(|error| {
        let sentence = format!(
            "this kernel has no type information in {BTF_PATH}: use one built with CONFIG_DEBUG_INFO_BTF=y \
             (Debian 11, Ubuntu 20.10, RHEL 8.2 or later), and in a container mount /sys"
        );
        explain(error, sentence)
    })?;
    Btf::parse(bytes).with_context(|| format!("cannot read the kernel's type information in {BTF_PATH}"))
}

fn privileges() -> Result<()> {
    let has = |capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false);
    if has(Capability::CAP_SYS_ADMIN) {
        return Ok(());
    }
    let missing: Vec<_> = [Capability::CAP_BPF, Capability::CAP_PERFMON]
        .into_iter()
        .filter(|&capability| !has(capability))
        .map(|capability| capability.to_string())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    ensure!(!refusal::in_user_namespace(), refusal::USER_NAMESPACE);
    bail!(
        "loading eBPF programs needs {}: run as root, or grant both CAP_BPF and CAP_PERFMON",
        missing.join(" and ")
    );
}
