//! From closes to advice: what the closes of idle connections tell of a server's keep-alive timeout, and what to
//! change when it ends connections that clients still keep.

mod advice;
mod ages;
mod clients;
mod closes;
mod finding;
mod knowledge;
mod limit;
mod path;
mod profile;
mod profiles;
mod races;
mod settings;
mod suggested;
mod text;
mod view;

pub use advice::AdviceView;
pub use ages::{Timeout, agree};
pub use finding::Advice;
pub(crate) use knowledge::Knowledge;
pub(crate) use path::ForgottenReuse;
pub use profile::Reuses;
pub use profiles::Review;
pub(crate) use profiles::ServerProfiles;
pub(crate) use races::LostRequest;
pub use view::{IDLE_BUCKETS, ServerView};

#[cfg(test)]
mod tests;
