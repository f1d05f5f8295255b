//! On which connection each request went: its number is in its path, which the packets show.

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::testbed::capture::Segment;

/// The connections of each request, the first one first: a client may try again.
pub(crate) type Connections = HashMap<u64, Vec<SocketAddr>>;

/// Finds requests in what was captured.
pub(crate) fn connections(segments: &[Segment]) -> Connections {
    let mut found = Connections::new();
    for segment in segments {
        let Some(id) = id_in(&String::from_utf8_lossy(&segment.begin)) else { continue };
        let clients = found.entry(id).or_default();
        if !clients.contains(&segment.source) {
            clients.push(segment.source);
        }
    }
    found
}

/// The number in the first path such as `/w3/x1234/ok`.
pub(crate) fn id_in(text: &str) -> Option<u64> {
    text.match_indices("/x").find_map(|(at, _)| {
        let digits: String = text[at + 2..].chars().take_while(char::is_ascii_digit).collect();
        (text[at + 2 + digits.len()..].starts_with('/')).then(|| digits.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_known_by_the_number_in_its_path() {
        for (text, id) in [
            ("GET /w3/x1234/ok HTTP/1.1\r\nHost: lab", Some(1234)),
            ("10.0.0.1 - - \"GET /w0/x7/upload-413 HTTP/1.1\" 413", Some(7)),
            ("\u{1}REQUEST_URI/w1/x55/hang", Some(55)),
            ("GET /x HTTP/1.1", None),
            ("HTTP/1.1 200 OK", None),
        ] {
            assert_eq!(id_in(text), id, "{text}");
        }
    }
}
