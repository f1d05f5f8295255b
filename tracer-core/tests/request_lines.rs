//! What is taken for a request line, and what is shown of it: the code that runs in the kernel, on payload from
//! well-behaved and from hostile clients.

#[path = "support/request_line.rs"]
mod oracle;

use oracle::{check_request_line, request_line};
use proptest::prelude::*;

/// Method and path as JSON shows them; `-` where there is none.
fn shown(payload: &[u8]) -> String {
    match request_line(payload) {
        Some(line) => format!("{} {}", line.method.name(), line.path.as_deref().unwrap_or("-")),
        None => String::from("-"),
    }
}

fn check(payloads: &[(&[u8], &str)]) {
    for (payload, expected) in payloads {
        assert_eq!(shown(payload), *expected, "{}", payload.escape_ascii());
    }
}

#[test]
fn a_request_line_gives_method_and_path_without_the_query() {
    check(&[
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET /"),
        (b"GET / HTTP/1.0\r\n\r\n", "GET /"),
        (b"POST /users/7?token=secret HTTP/1.1\r\n", "POST /users/7"),
        (b"PUT /a#fragment HTTP/1.1\r\n", "PUT /a"),
        (b"DELETE /a%20b;v=1 HTTP/1.1\r\n", "DELETE /a%20b;v=1"),
        (b"HEAD /? HTTP/1.1\r\n", "HEAD /"),
        (b"PATCH //double HTTP/1.1\r\n", "PATCH //double"),
        (b"TRACE /t HTTP/1.1\r\n", "TRACE /t"),
        (b"OPTIONS * HTTP/1.1\r\n", "OPTIONS *"),
        (b"PROPFIND /dav/ HTTP/1.1\r\n", "other /dav/"),
        (b"VERSION-CONTROL /v HTTP/1.1\r\n", "other /v"),
        (b"UPDATEREDIRECTREF /r HTTP/1.1\r\n", "other /r"),
    ]);
}

#[test]
fn a_target_that_is_no_path_gives_the_method_only() {
    check(&[
        (b"CONNECT example.com:443 HTTP/1.1\r\n", "CONNECT -"),
        (b"GET http://user:secret@example.com/path HTTP/1.1\r\n", "GET -"),
    ]);
}

#[test]
fn a_target_longer_than_what_is_looked_at_needs_a_known_method() {
    let long = |method: &str| format!("{method} /{} HTTP/1.1\r\n", "a".repeat(2000)).into_bytes();
    let cut = format!("/{}", "a".repeat(63));
    check(&[
        (&long("GET"), &format!("GET {cut}")),
        (&long("OPTIONS"), &format!("OPTIONS {cut}")),
        (&long("PROPFIND"), "-"),
        (format!("GET /a?{} HTTP/1.1\r\n", "q".repeat(2000)).as_bytes(), "GET /a"),
        (format!("GET http://{} HTTP/1.1\r\n", "a".repeat(2000)).as_bytes(), "GET -"),
        (format!("CONNECT {}:443 HTTP/1.1\r\n", "a".repeat(2000)).as_bytes(), "-"),
        (format!("GET h{}", "a".repeat(2000)).as_bytes(), "-"),
    ]);
}

#[test]
fn a_path_ends_after_64_bytes() {
    for (letters, kept) in [(62, 62), (63, 63), (64, 63), (80, 63)] {
        let payload = format!("GET /{} HTTP/1.1\r\n", "b".repeat(letters));
        assert_eq!(shown(payload.as_bytes()), format!("GET /{}", "b".repeat(kept)), "{letters}");
    }
}

#[test]
fn what_is_no_request_of_http1_gives_nothing() {
    check(&[
        (b"", "-"),
        (b"G", "-"),
        (b"GET", "-"),
        (b"GET ", "-"),
        (b"GET /", "-"),
        (b"GET / HTTP/1", "-"),
        (b"GET /a HTTP/2.0\r\n", "-"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "-"),
        (b"OPTIONS * RTSP/1.0\r\n", "-"),
        (b"get / HTTP/1.1\r\n", "-"),
        (b" GET / HTTP/1.1\r\n", "-"),
        (b"\r\nGET / HTTP/1.1\r\n", "-"),
        (b"GET  / HTTP/1.1\r\n", "-"),
        (b"GET /\r\n", "-"),
        (b"GET key\r\n", "-"),
        (b"STOR /file\r\n", "-"),
        (b"HTTP/1.1 200 OK\r\n", "-"),
        (b"EHLO example.com\r\n", "-"),
        (b"*3\r\n$3\r\nSET\r\n", "-"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "-"),
        (b"\x00\x00\x00\x00", "-"),
        (&vec![b'A'; 65536], "-"),
        (&vec![b' '; 65536], "-"),
        (&vec![b'/'; 65536], "-"),
        (&vec![0xff; 65536], "-"),
    ]);
}

#[test]
fn hostile_paths_are_shown_without_harm() {
    check(&[
        (b"GET /\x1b]0;owned\x07 HTTP/1.1\r\n", r"GET /\u{1b}]0;owned\u{7}"),
        (b"GET /a\r\nX: y HTTP/1.1\r\n", "-"),
        (b"GET /a\nb HTTP/1.1\r\n", "-"),
        (b"GET /a\0b HTTP/1.1\r\n", "-"),
        (b"GET /\xff\xfe HTTP/1.1\r\n", r"GET /\xff\xfe"),
        (b"GET /<script>alert('x')</script> HTTP/1.1\r\n", "GET /<script>alert('x')</script>"),
        (b"GET /\"}{\\ HTTP/1.1\r\n", r#"GET /"}{\\"#),
    ]);
}

/// Methods, targets and versions that are nearly right, and bytes that are not.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "GET ",
            "POST",
            "OPTIONS ",
            "X-Y ",
            " HTTP/1.1\r\n",
            " HTTP/1.",
            "/",
            "?",
            "http://",
            "\r\n",
            " "
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..40),
        prop::collection::vec(prop::num::u8::ANY.prop_map(|byte| b'!' + byte % 94), 0..100),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn whatever_is_sent_only_a_clean_prefix_of_the_target_is_shown(payload in payload()) {
        check_request_line(&payload);
    }
}
