//! Who was reset: joins each RST with the connection it ended.

mod close;
mod closed_connections;
mod first_fin;
mod held;
mod incident;
mod matcher;
mod open_request;

pub use close::Close;
pub(crate) use close::{EndedBy, Rest};
pub use first_fin::IDLE;
pub(crate) use first_fin::{FirstFin, LastWord, PROVEN, may_be_last_word};
pub use incident::Unmatched;
pub(crate) use incident::{Ending, Found, Incident, Known};
pub(crate) use matcher::{Matched, Matcher};

#[cfg(test)]
mod tests;
