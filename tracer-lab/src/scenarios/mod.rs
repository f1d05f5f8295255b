//! The scenarios: the steps of each, and beside them what must be seen of it.

pub(crate) mod base;
pub mod batch;
pub mod case;
mod client;
mod fast_open;
mod fin;
mod ignored;
mod last_word;
mod late;
mod lost;
mod middlebox;
mod multipath;
pub mod outcome;
mod pooled;
mod protocol;
mod quiet;
mod race;
pub(crate) mod record;
pub mod scenario;
mod server;
mod stale;
mod unread;
mod upload;

use crate::scenarios::scenario::Scenario;

/// Every scenario, in the order in which they are printed.
pub(crate) fn all() -> impl Iterator<Item = &'static Scenario> {
    [
        race::ROWS,
        pooled::ROWS,
        last_word::ROWS,
        fin::ROWS,
        unread::ROWS,
        upload::ROWS,
        server::ROWS,
        stale::ROWS,
        late::ROWS,
        middlebox::ROWS,
        lost::ROWS,
        client::ROWS,
        fast_open::ROWS,
        multipath::ROWS,
        protocol::ROWS,
        ignored::ROWS,
        quiet::ROWS,
    ]
    .into_iter()
    .flatten()
}
