//! Method and path of a request, as far as the kernel side found and may show them.

use std::fmt::Write as _;

use tracer_common::{BY_PEER, BY_US, MAX_PATH, METHOD_NONE, METHODS};

use crate::{
    classify::cause::Cause,
    matching::incident::MatchedReset,
    model::event::{Role, Side},
};

/// The last request line seen of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestLine {
    /// The method.
    pub method: Method,
    /// The path as it may be shown anywhere, where the target was one: without its query, from its first 64 bytes, with `\xNN` or
    /// `\u{N}` for what is no text or cannot be seen.
    pub path: Option<String>,
    /// Who sent it.
    pub by: Side,
    /// Another request was begun since then, with something else than a request line.
    pub superseded: bool,
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
    const ALL: [Self; METHODS.len() + 1] = [
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

impl RequestLine {
    /// Takes over what the kernel side reports; the inner `None` is that it found nothing, the outer one that this cannot be.
    #[must_use]
    pub fn decode(line: &tracer_common::RequestLine) -> Option<Option<Box<Self>>> {
        if line.method == METHOD_NONE {
            return Some(None);
        }
        let path = line.path.get(..usize::from(line.path_len))?;
        Some(Some(Box::new(Self {
            method: *Method::ALL.get(usize::from(line.method) - 1)?,
            path: (!path.is_empty()).then(|| shown(path)),
            by: match line.by {
                BY_US => Side::Local,
                BY_PEER => Side::Remote,
                _ => return None,
            },
            superseded: line.superseded != 0,
        })))
    }
}

impl MatchedReset {
    /// The request line of the last request, if one is known to be that.
    #[must_use]
    pub fn last_request_line(&self, cause: Cause) -> Option<&RequestLine> {
        let line = self.request_line.as_deref()?;
        // Servers can send such a thing as well.
        let by_client = match self.role {
            Role::Client => line.by == Side::Local,
            Role::Server => line.by == Side::Remote,
            Role::Unknown => true,
        };
        // What is sent after an early response still belongs to the request.
        let current = !line.superseded || cause == Cause::EarlyClose;
        (by_client && current).then_some(line)
    }
}

/// The path as text: `\` and what cannot be seen or is no UTF-8 is escaped.
fn shown(path: &[u8]) -> String {
    let mut text = String::new();
    for chunk in path.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '"' | '\'' => text.push(char),
                // Also escapes what turns or hides text around it (U+202E and the like).
                _ => text.extend(char.escape_debug()),
            }
        }
        // A character that was cut in two at the end of the room is left out.
        let cut = path.len() == MAX_PATH && path.ends_with(chunk.invalid()) && is_cut(chunk.invalid());
        for byte in chunk.invalid().iter().filter(|_| !cut) {
            // To write into memory cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Whether these bytes could be the beginning of a character.
fn is_cut(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_shown_so_that_no_terminal_and_no_page_is_harmed() {
        for (path, text) in [
            (&b"/plain-path_1.html;v=1"[..], "/plain-path_1.html;v=1"),
            (b"*", "*"),
            (b"/caf\xc3\xa9/\xe6\x97\xa5", "/café/日"),
            (b"/\x1b[31mred", r"/\u{1b}[31mred"),
            (b"/tab\tand\x7f", r"/tab\tand\u{7f}"),
            (b"/back\\slash", r"/back\\slash"),
            (b"/'quotes\"", "/'quotes\""),
            (b"/\xff\xfe", r"/\xff\xfe"),
            (b"/\xc3", r"/\xc3"),
            ("/\u{202e}fdp".as_bytes(), r"/\u{202e}fdp"),
            ("/zero\u{200b}width".as_bytes(), r"/zero\u{200b}width"),
        ] {
            assert_eq!(shown(path), text);
        }
    }

    #[test]
    fn a_character_cut_in_two_by_the_limit_is_left_out() {
        let mut path = vec![b'/'; MAX_PATH - 1];
        path.extend("é".as_bytes());
        assert_eq!(shown(&path[..MAX_PATH]), "/".repeat(MAX_PATH - 1));
        path[MAX_PATH - 1] = 0xff;
        assert_eq!(shown(&path[..MAX_PATH]), format!("{}\\xff", "/".repeat(MAX_PATH - 1)));
    }
}
