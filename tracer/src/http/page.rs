//! The live page: a few files, served as they are, that ask the API from the reader's browser.

use hyper::{
    StatusCode,
    header::{CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY},
};

use super::response::{Answer, of_type};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

/// Path, content type and text of each file.
const FILES: [(&str, &str, &str); 9] = [
    ("/", HTML, include_str!("page/index.html")),
    ("/page.css", CSS, include_str!("page/page.css")),
    ("/page.js", JS, include_str!("page/page.js")),
    ("/advice.js", JS, include_str!("page/advice.js")),
    ("/servers.js", JS, include_str!("page/servers.js")),
    ("/incidents.js", JS, include_str!("page/incidents.js")),
    ("/causes.js", JS, include_str!("page/causes.js")),
    ("/dom.js", JS, include_str!("page/dom.js")),
    ("/format.js", JS, include_str!("page/format.js")),
];

/// Whatever strings reach the page, nothing but these files runs in it, and it talks to nobody but us. The icon is the
/// one picture.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, HeaderValue); 2] = [
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

/// The answer to a request for a file of the page.
pub(super) fn answer(path: &str) -> Option<Answer> {
    let (_, content_type, text) = FILES.into_iter().find(|(at, _, _)| *at == path)?;
    let mut response = of_type(StatusCode::OK, content_type, text);
    response.headers_mut().extend(HEADERS);
    Some(response)
}
