//! From closes to advice: what the closes of idle connections tell of a server's keep-alive timeout, and what to
//! change when it ends connections that clients still keep.

mod advice;
mod finding;
mod idle_ages;
mod profile;
mod profiles;
mod settings;

pub use advice::AdviceView;
pub use finding::Advice;
pub use idle_ages::{Timeout, agree};
pub(crate) use profile::LostRequest;
pub use profile::{IDLE_BUCKETS, Reuses, ServerView};
pub use profiles::Review;
pub(crate) use profiles::ServerProfiles;

#[cfg(test)]
mod tests;
