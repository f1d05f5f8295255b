//! Who was reset: joins each RST with the connection it ended.

pub mod closed_connections;
pub mod first_fin;
pub mod incident;
pub mod matcher;
