//! The sinks: where outcomes go. None knows another.

pub mod metrics;
pub mod recent;
pub mod recording;
pub mod stdout;
