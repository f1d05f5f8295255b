//! What a reset meant, and how the kernel came to send it.

mod cause;
mod crossing;
mod explained;
mod explanation;
mod last_request;
mod mechanism;
mod request_read;
mod rules;

pub use cause::{CAUSES, Cause, CauseRow, Crossing};
pub use explained::{ExplainedIncident, IncidentView};
pub use mechanism::{Ended, Mechanism};
pub use request_read::RequestRead;
pub use rules::{RacePolicy, Verdict};

#[cfg(test)]
mod tests;
