//! Method and path of a request: as the wire shows them, and as the tracer reports them.

use crate::testbed::reset::Reset;

/// Bytes of a path that the tracer shows.
const LONGEST: usize = 64;

/// What may be reported of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestLine {
    pub(crate) method: String,
    pub(crate) path: Option<String>,
}

impl RequestLine {
    /// What payload that begins like this shows, if it is a request of HTTP/1.x whose path is plain text.
    pub(crate) fn of(begin: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(begin);
        let (method, rest) = text.split_once(' ')?;
        let (target, version) = rest.split_once(' ')?;
        let path = target.split(['?', '#']).next().unwrap_or_default();
        version.starts_with("HTTP/1.").then(|| Self {
            method: method.to_owned(),
            path: path.starts_with(['/', '*']).then(|| path.chars().take(LONGEST).collect()),
        })
    }

    /// What the tracer reports.
    pub(crate) fn reported(reset: &Reset) -> Option<Self> {
        Some(Self { method: reset.method.clone()?, path: reset.path.clone() })
    }
}
