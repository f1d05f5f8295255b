//! Who was reset: joins each RST with the connection it ended.

mod closed_connections;
mod first_fin;
mod held;
mod idle_close;
mod incident;
mod matcher;

pub use first_fin::IDLE;
pub(crate) use first_fin::{FirstFin, LastWord, may_be_last_word};
pub use idle_close::IdleClose;
pub use incident::Unmatched;
pub(crate) use incident::{Ending, Found, Incident, Known};
pub(crate) use matcher::{Matched, Matcher};

#[cfg(test)]
mod tests;
