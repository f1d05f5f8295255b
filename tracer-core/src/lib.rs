//! What TCP resets mean. Pure: records and time go in, explained resets and advice come out. Nothing here does I/O or
//! reads a clock.

#![deny(unsafe_code)]

pub mod classify;
pub mod decode;
pub mod keepalive;
pub mod matching;
pub mod model;
