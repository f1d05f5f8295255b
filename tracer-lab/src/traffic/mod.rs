//! Clients and servers whose every step is ordered.

pub mod connection;
pub mod ends;
pub mod exchange;
pub(crate) mod session;
pub(crate) mod stream;
pub mod upstream;
