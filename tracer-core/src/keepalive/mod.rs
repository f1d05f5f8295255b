//! From closes to advice: what the closes of idle connections tell of a server's keep-alive timeout, and what to
//! change when it ends connections that clients still keep.
//!
//! Pure, like all before it: closes, races and times go in, views come out.

pub mod advice;
pub mod idle_ages;
pub mod profile;
pub mod profiles;
pub mod settings;

pub use advice::AdviceView;
pub use idle_ages::agree;
pub use profile::{IDLE_BUCKETS, Race, Reuses, ServerView};
pub use profiles::{Fingerprints, Review};
