//! The HTTP side: read-only, bounded in connections, time and answer size, and never in the way of the events.

mod encoding;
mod page;
mod parameters;
mod response;
mod routes;
mod server;

pub(crate) use routes::Service;
pub(crate) use server::{bind, start};
