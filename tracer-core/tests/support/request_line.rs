//! What must hold of a request line taken from any payload, said without the code that takes it. The fuzzer
//! checks by this as well.

use tracer_common::{BY_PEER, INSPECTED, MAX_PATH, METHOD_NONE, METHOD_OTHER, METHODS, Prefix};
use tracer_core::{decode, model::RequestLine};

/// What the kernel side reports of a segment with this payload.
fn raw(payload: &[u8]) -> tracer_common::RequestLine {
    let mut window: Prefix = [0; size_of::<Prefix>()];
    let looked_at = payload.len().min(INSPECTED);
    window[..looked_at].copy_from_slice(&payload[..looked_at]);
    let mut line = tracer_common::RequestLine { by: BY_PEER, ..tracer_common::RequestLine::NONE };
    let found = line.take(&mut window, |window, from| window.copy_within(from..from + INSPECTED, 0));
    assert_eq!(found, line.method != METHOD_NONE);
    line
}

/// What is shown of it.
pub(crate) fn request_line(payload: &[u8]) -> Option<RequestLine> {
    decode::request_line(&raw(payload)).expect("the kernel side never says what cannot be").map(|line| *line)
}

/// Panics where more is taken than may be, or less.
pub(crate) fn check_request_line(payload: &[u8]) {
    let line = raw(payload);
    let shown = request_line(payload);
    let mut parts = payload.split(|&byte| byte == b' ');
    let (method, target) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let number = METHODS.iter().position(|known| known.trim_ascii_end() == method);

    if line.method != METHOD_NONE {
        let number = number.map_or(usize::from(METHOD_OTHER), |index| index + 1);
        assert_eq!(usize::from(line.method), number, "the method is the first word");
        let path = &line.path[..usize::from(line.path_len)];
        assert!(target.starts_with(path), "the path is how the second word begins");
        assert!(!path.iter().any(|byte| b"?# \r\n\0".contains(byte)), "the path ends before its query");
        assert!(line.path[path.len()..].iter().all(|&byte| byte == 0), "nothing else is reported");
        let path = shown.and_then(|shown| shown.path).unwrap_or_default();
        assert!(!path.contains(char::is_control), "what is shown harms no terminal");
        assert!(path.len() <= MAX_PATH * "\\u{10ffff}".len(), "what is shown is bounded");
    }
    // Another parser: what it takes for a request with a path is one here, provided that it ends within what is looked
    // at.
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let theirs = request.parse(payload).is_ok_and(|status| status.is_complete());
    let ends = method.len() + target.len() + " HTTP/1.1".len() < 96;
    let is_plain =
        payload.starts_with(method) && !method.is_empty() && method.iter().all(u8::is_ascii_uppercase);
    if theirs && ends && is_plain && method.len() <= 17 && target.starts_with(b"/") {
        assert_ne!(line.method, METHOD_NONE, "a request goes unseen");
        let path = target.split(|byte| b"?#".contains(byte)).next().unwrap_or_default();
        assert_eq!(line.path[..usize::from(line.path_len)], path[..path.len().min(MAX_PATH)]);
    }
}
