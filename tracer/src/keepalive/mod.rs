//! From closes to advice: what the closes of idle connections tell of a server's keep-alive timeout, and what to
//! change when it ends connections that clients still keep.
//!
//! Pure, like all before it: closes, races and times go in, views come out.

pub mod advice;
pub mod fingerprint;
pub mod fingerprints;
pub mod settings;
pub mod timeout;

pub use advice::AdviceView;
pub use fingerprint::{Race, ServerView};
pub use fingerprints::{Fingerprints, Review};
pub use timeout::agree;
