//! The scenarios: the steps of each, and beside them what must be seen of it.

pub(crate) mod base;
pub mod batch;
pub mod case;
mod client;
mod close_notify;
mod multipath;
pub mod outcome;
mod protocol;
mod quiet;
mod race;
pub(crate) mod record;
pub mod scenario;
mod server;
mod stale;

use crate::scenarios::scenario::Scenario;

/// Every scenario, in the order in which they are printed.
pub(crate) fn all() -> impl Iterator<Item = &'static Scenario> {
    [
        race::ROWS,
        close_notify::ROWS,
        server::ROWS,
        stale::ROWS,
        client::ROWS,
        multipath::ROWS,
        protocol::ROWS,
        quiet::ROWS,
    ]
    .into_iter()
    .flatten()
}
