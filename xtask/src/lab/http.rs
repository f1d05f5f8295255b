//! The smallest HTTP client that can ask the tracer a question.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};

const TIMEOUT: Duration = Duration::from_secs(5);

/// A response's status and body.
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) body: String,
}

/// Asks the HTTP server on this host's loopback `port` for `path`.
pub(super) fn get(port: u16, path: &str) -> Result<Response> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) =
        text.split_once("\r\n\r\n").ok_or_else(|| anyhow!("no HTTP response to GET {path}"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok(Response { status: status.context("an HTTP response without a status")?, body: body.to_owned() })
}
