//! Method and path of a request, as far as the kernel side found and may show them.

use std::fmt::Write as _;

use tracer_common::{BY_PEER, BY_US, MAX_PATH, METHOD_NONE};

use crate::model::{Method, RequestLine, Side};

/// Reads what the kernel side reports; the inner `None` is that it found nothing, the outer one that this cannot be.
#[must_use]
pub fn request_line(line: &tracer_common::RequestLine) -> Option<Option<Box<RequestLine>>> {
    if line.method == METHOD_NONE {
        return Some(None);
    }
    let path = line.path.get(..usize::from(line.path_len))?;
    Some(Some(Box::new(RequestLine {
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
