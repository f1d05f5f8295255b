//! Method and path of a request.

use tracer_common::METHODS;

use super::Side;

/// The last request line seen of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestLine {
    /// The method.
    pub method: Method,
    /// The path as it may be shown anywhere, where the target was one: without its query, from its first 64 bytes, with
    /// `\xNN` or `\u{N}` for what is no text or cannot be seen.
    pub path: Option<String>,
    /// Who sent it.
    pub(crate) by: Side,
    /// Another request was begun since then, with something else than a request line.
    pub(crate) superseded: bool,
}

/// A request's method. A closed set, so that it can be a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the methods of RFC 9110 and RFC 5789")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    /// Any other.
    Other,
}

impl Method {
    /// In the order of the kernel side's [`METHODS`].
    pub(crate) const ALL: [Self; METHODS.len() + 1] = [
        Self::Get,
        Self::Head,
        Self::Post,
        Self::Put,
        Self::Delete,
        Self::Connect,
        Self::Options,
        Self::Trace,
        Self::Patch,
        Self::Other,
    ];

    /// The name used in labels and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
            Self::Options => "OPTIONS",
            Self::Trace => "TRACE",
            Self::Patch => "PATCH",
            Self::Other => "other",
        }
    }
}
