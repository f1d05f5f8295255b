//! What TCP resets mean. Pure: records and time go in, explained resets and advice come out. Nothing here does I/O or
//! reads a clock.

#![forbid(unsafe_code)]

pub mod classify;
pub mod decode;
mod engine;
pub mod keepalive;
pub mod matching;
pub mod model;
mod told;

pub use engine::{Engine, EngineOptions, Outcome};

#[cfg(test)]
mod properties;
#[cfg(test)]
mod testing;
