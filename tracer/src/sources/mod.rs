//! Where records come from.

pub mod recording;
pub mod ring;
