//! Everything that talks to the kernel: what it has, what was attached, what it counted and reported.

pub mod btf;
pub mod counters;
pub mod load;
pub mod offsets;
pub mod preflight;
pub mod programs;
pub mod reasons;
pub mod requests;

pub use counters::Counts;
pub use load::{ProbeReport, RequestsWanted, Tracer, Wanted};
