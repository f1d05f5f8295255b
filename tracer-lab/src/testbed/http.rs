//! The smallest HTTP client that can ask the tracer a question.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};

use crate::testbed::wait::stretched;

const TIMEOUT: Duration = Duration::from_secs(5);

/// A response, taken apart.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The status line and the headers.
    pub head: String,
    /// What follows.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of the header `name`.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        headers.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// The body, if it is text.
    pub fn text(self) -> Result<String> {
        String::from_utf8(self.body).context("an HTTP response that is not text")
    }
}

/// Asks the HTTP server on this host's loopback `port` for `path`.
pub fn get(port: u16, path: &str) -> Result<Response> {
    ask(port, &format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n"))
}

/// Sends `request` as it stands and reads until the server closes the connection.
pub fn ask(port: u16, request: &str) -> Result<Response> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(stretched(TIMEOUT)))?;
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    let line = request.lines().next().unwrap_or("");
    stream.read_to_end(&mut bytes).with_context(|| format!("no answer to {line}"))?;
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.ok_or_else(|| anyhow!("no HTTP response to {line}"))?;
    let body = bytes.split_off(end + 4);
    let head = String::from_utf8(bytes).context("HTTP headers that are not text")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok(Response { status: status.context("an HTTP response without a status")?, head, body })
}
