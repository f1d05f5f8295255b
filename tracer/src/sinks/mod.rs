//! Where what was found out goes. None knows another.

pub mod metrics;
pub mod recent;
pub mod recording;
pub mod stdout;
