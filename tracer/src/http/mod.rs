//! The HTTP side: read-only, bounded in connections, time and answer size, and never in the way of the events.

mod admission;
mod encoding;
mod page;
mod parameters;
mod response;
mod routes;
mod scrapes;
mod server;
mod web;

pub(crate) use routes::Service;
pub(crate) use scrapes::Scrapes;
pub(crate) use server::{Server, bind, start};
pub(crate) use web::Web;
