//! What a reset meant, and how the kernel came to send it.

mod cause;
mod crossing;
mod explained;
mod last_request;
mod mechanism;
mod rules;

pub use cause::{CAUSES, Cause, CauseRow, Crossing};
pub use explained::{ExplainedIncident, ResetView};
pub use mechanism::{Direction, Mechanism};
pub use rules::{RacePolicy, Verdict};

#[cfg(test)]
mod tests;
