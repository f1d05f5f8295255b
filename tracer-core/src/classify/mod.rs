//! What the end of a connection meant, and how it came about.

mod both_ends;
mod cause;
mod client_end;
mod crossing;
mod explained;
mod explanation;
mod handshake;
mod last_request;
mod last_word;
mod mechanism;
mod request_read;
mod reuse;
mod rules;
mod server_end;
mod spoken;
mod unanswered;
mod verdict;

pub(crate) use both_ends::Told;
pub use cause::{CAUSES, Cause, CauseRow, Crossing};
pub use explained::{ExplainedIncident, IncidentView};
pub use mechanism::{Ended, Mechanism};
pub use request_read::RequestRead;
pub(crate) use rules::Context;
pub use rules::RacePolicy;
pub use verdict::Verdict;
pub(crate) use verdict::classify;

#[cfg(test)]
mod tests;
