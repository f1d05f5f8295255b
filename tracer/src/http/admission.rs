//! Admission: which requests are answered at all.

use std::net::IpAddr;

use hyper::{
    Request, StatusCode, Version,
    header::{HOST, HeaderValue, RETRY_AFTER, TRANSFER_ENCODING, WWW_AUTHENTICATE},
    http::uri::Authority,
};

use super::{
    response::{Answer, plain},
    web::{Access, Settings},
};

/// Paths that are answered under any name: scrapers and probes know this host by names of their own.
const UNDER_ANY_NAME: [&str; 3] = ["/metrics", "/-/healthy", "/-/ready"];

/// The answer to a request that goes no further, if it does not.
pub(super) async fn refusal<B>(
    request: &Request<B>,
    settings: &Settings,
    names: &[String],
) -> Option<Answer> {
    if let Some(sentence) = malformed(request) {
        return Some(plain(StatusCode::BAD_REQUEST, sentence));
    }
    if !is_meant(request, names) {
        return Some(plain(
            StatusCode::MISDIRECTED_REQUEST,
            "this is no name of this host: ask by address, or name it with --web-host\n",
        ));
    }
    if !settings.is_within_rate() {
        return Some(too_many("too many requests\n"));
    }
    match settings.check(request.headers()).await {
        Access::Granted => None,
        Access::Busy => Some(too_many("too many passwords to check, try again\n")),
        Access::Denied => {
            let mut refusal = plain(StatusCode::UNAUTHORIZED, "a user and a password are needed\n");
            refusal
                .headers_mut()
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"tracer\""));
            Some(refusal)
        }
    }
}

fn too_many(sentence: &'static str) -> Answer {
    let mut refusal = plain(StatusCode::TOO_MANY_REQUESTS, sentence);
    refusal.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    refusal
}

/// What two servers could understand in two ways (RFC 9112, 3.2 and 6.3).
fn malformed<B>(request: &Request<B>) -> Option<&'static str> {
    let hosts = request.headers().get_all(HOST).iter().count();
    if hosts > 1 {
        return Some("a request has one Host\n");
    }
    if hosts == 0 && request.version() == Version::HTTP_11 {
        return Some("a request has a Host\n");
    }
    // hyper leaves out a Content-Length beside it, so it cannot be told whether there was one.
    if request.headers().contains_key(TRANSFER_ENCODING) {
        return Some("a request in chunks is not served here\n");
    }
    None
}

/// Whether who asks may know this host by the name used: a page of a stranger whose name leads here (DNS rebinding) may
/// not.
fn is_meant<B>(request: &Request<B>, names: &[String]) -> bool {
    let header = request.headers().get(HOST).map(|host| host.to_str().unwrap_or_default());
    let mut used = header.into_iter().chain(request.uri().authority().map(Authority::as_str));
    UNDER_ANY_NAME.contains(&request.uri().path()) || used.all(|host| is_name(host, names))
}

/// Whether a host, with its port or without, is an address, `localhost` or one of the names.
fn is_name(host: &str, names: &[String]) -> bool {
    if let Some((address, port)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return matches!(address.parse(), Ok(IpAddr::V6(_))) && (port.is_empty() || is_port(port));
    }
    let (name, port) = host.find(':').map_or((host, ""), |colon| host.split_at(colon));
    let name = name.strip_suffix('.').unwrap_or(name);
    let known = names.iter().map(String::as_str).chain(["localhost"]);
    (port.is_empty() || is_port(port))
        && (matches!(name.parse(), Ok(IpAddr::V4(_)))
            || known.into_iter().any(|known| known.eq_ignore_ascii_case(name)))
}

/// `:8000`
fn is_port(text: &str) -> bool {
    text.strip_prefix(':').is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use hyper::{header::AUTHORIZATION, http::request::Builder};
    use tempfile::TempDir;

    use super::*;
    use crate::http::web::Web;

    async fn status(request: Builder) -> Option<u16> {
        let names = [String::from("tracer.example.com")];
        let web = Web::open(None).unwrap();
        let refusal = refusal(&request.body(()).unwrap(), &web.current(), &names).await;
        refusal.map(|refusal| refusal.status().as_u16())
    }

    #[tokio::test]
    async fn a_name_that_is_not_ours_gets_metrics_and_nothing_else() {
        for (host, meant) in [
            ("127.0.0.1", true),
            ("10.0.0.5:8000", true),
            ("[::1]:8000", true),
            ("[2001:db8::1]", true),
            ("localhost", true),
            ("LOCALHOST:8000", true),
            ("localhost.:8000", true),
            ("tracer.example.com", true),
            ("Tracer.Example.com:443", true),
            ("example.com", false),
            ("tracer.example.com.evil.org", false),
            ("127.0.0.1.evil.org", false),
            ("localhost.evil.org", false),
            ("evil.org:8000", false),
            ("localhost:evil.org", false),
            ("[::1].evil.org", false),
            ("[evil.org]", false),
            ("0x7f.1", false),
            ("2130706433", false),
            ("", false),
        ] {
            for (path, refused) in [
                ("/", !meant),
                ("/page.js", !meant),
                ("/api/v1/incidents", !meant),
                ("/metrics", false),
                ("/-/healthy", false),
                ("/-/ready", false),
            ] {
                let found = status(Request::get(path).header(HOST, host)).await;
                assert_eq!(found, refused.then_some(421), "{host} {path}");
            }
        }
        let absolute = Request::get("http://evil.org/api/v1/incidents").header(HOST, "localhost");
        assert_eq!(status(absolute).await, Some(421));
        // No browser speaks HTTP/1.0.
        assert_eq!(status(Request::get("/").version(Version::HTTP_10)).await, None);
    }

    #[tokio::test]
    async fn a_password_is_asked_for_and_more_requests_than_the_limit_are_refused() {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("web.yml");
        let hash = bcrypt::hash("password", 4).unwrap();
        let limit = "rate_limit: {interval: 1h, burst: 3}";
        fs::write(&file, format!("basic_auth_users: {{anna: {hash}}}\n{limit}\n")).unwrap();
        let settings = Web::open(Some(&file)).unwrap().current();
        let [right, wrong] = ["Basic YW5uYTpwYXNzd29yZA==", "Basic YW5uYTpndWVzcw=="].map(Some);
        for (authorization, status, header) in [
            (right, None, None),
            (wrong, Some(401), Some((WWW_AUTHENTICATE, "Basic realm=\"tracer\""))),
            (None, Some(401), Some((WWW_AUTHENTICATE, "Basic realm=\"tracer\""))),
            (right, Some(429), Some((RETRY_AFTER, "1"))),
        ] {
            let request = Request::get("/metrics").header(HOST, "localhost");
            let request =
                authorization.into_iter().fold(request, |request, it| request.header(AUTHORIZATION, it));
            let refusal = refusal(&request.body(()).unwrap(), &settings, &[]).await;
            assert_eq!(
                refusal.as_ref().map(|refusal| refusal.status().as_u16()),
                status,
                "{authorization:?}"
            );
            let found = refusal.zip(header).map(|(refusal, (name, value))| refusal.headers()[name] == value);
            assert_ne!(found, Some(false), "{authorization:?}");
        }
    }

    #[tokio::test]
    async fn what_can_be_understood_in_two_ways_is_refused() {
        let request = || Request::get("/metrics");
        for (what, request) in [
            ("no Host", request()),
            ("two", request().header(HOST, "localhost").header(HOST, "localhost")),
            ("in chunks", request().header(HOST, "localhost").header(TRANSFER_ENCODING, "chunked")),
        ] {
            assert_eq!(status(request).await, Some(400), "{what}");
        }
    }
}
