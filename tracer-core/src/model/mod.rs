//! What the other modules talk about: times, connections, sockets, and what happens to them.

pub mod event;
pub mod time;
