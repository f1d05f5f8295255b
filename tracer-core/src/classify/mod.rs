//! What a reset meant, and how the kernel came to send it.

pub mod cause;
pub mod explained;
pub mod last_request;
pub mod mechanism;
pub mod rules;
