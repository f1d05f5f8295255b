//! What the meaning of records depends on besides the records.

use super::reasons::Reasons;
use crate::model::{Jiffy, KernelNs};

/// Facts of the kernel that records are from.
#[derive(Clone, Debug)]
pub struct KernelFacts {
    /// The resolution of the kernel's own times.
    pub jiffy: Jiffy,
    /// The kernel's reset reasons.
    pub reasons: Reasons,
    /// Since when it has been watched.
    pub watched_since: KernelNs,
}
