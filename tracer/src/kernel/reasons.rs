//! The running kernel's reset reasons: `enum sk_rst_reason`, whose numbers shift between versions.

use tracer_core::decode::Reasons;

use super::btf::Btf;

/// Reads them from the kernel's BTF; none before 6.10.
#[must_use]
pub(crate) fn read(btf: &Btf) -> Reasons {
    Reasons::from_names(btf.enum_names("sk_rst_reason", "SK_RST_REASON_"))
}
