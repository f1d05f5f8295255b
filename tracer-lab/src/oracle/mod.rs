//! From packets to evidence, and from evidence to what the daemon must say.

pub(crate) mod community;
pub(crate) mod coverage;
pub(crate) mod describe;
pub(crate) mod difference;
pub(crate) mod evidence;
pub(crate) mod exchanges;
pub(crate) mod expectation;
pub(crate) mod request_line;
