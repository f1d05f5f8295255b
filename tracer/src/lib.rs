//! Finds and explains TCP resets on Linux: what is around the core.

#![forbid(unsafe_code)]

pub mod clock;
pub mod commands;
pub mod config;
mod daemon;
mod descriptors;
mod event_loop;
mod http;
mod kernel;
mod last_turn;
pub mod log;
pub mod pipeline;
pub mod privileges;
mod query;
mod server_labels;
pub mod sinks;
pub mod sources;
pub mod writer;
