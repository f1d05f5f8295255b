//! Clients and servers whose every step is ordered.

mod awaited;
pub mod connection;
pub mod ends;
pub mod exchange;
pub(crate) mod session;
mod steps;
pub(crate) mod stream;
pub mod upstream;
