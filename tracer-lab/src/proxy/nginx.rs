//! nginx on the client host, in front of an upstream that closes its keep-alive connections as requests come.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::testbed::host::Host;
use crate::testbed::nginx;
use crate::testbed::server::ServerProgram;
use crate::traffic::session::Session;

/// Where nginx serves inside its namespace.
const FRONT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8000);

/// A running nginx, ended when dropped.
pub(crate) struct Nginx<'net> {
    host: &'net Host,
    _program: ServerProgram,
    error_log: PathBuf,
}

/// What nginx has complained of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Complaints {
    /// "104: Connection reset by peer"
    pub(crate) reset_by_peer: usize,
    /// "upstream prematurely closed connection"
    pub(crate) prematurely_closed: usize,
}

impl Complaints {
    pub(crate) fn total(self) -> usize {
        self.reset_by_peer + self.prematurely_closed
    }
}

impl<'net> Nginx<'net> {
    /// Starts nginx on `host`, with its files in `directory`, and waits until it serves.
    pub(crate) fn start(host: &'net Host, directory: &Path, upstream: SocketAddr) -> Result<Self> {
        let words = nginx::configure(directory, "proxy", &gateway(upstream))?;
        let program = ServerProgram::start(host, FRONT, &words, directory)?;
        Ok(Self { host, _program: program, error_log: directory.join("proxy.error") })
    }

    /// Sends a request; nginx passes it on at once.
    pub(crate) fn request(&self) -> Result<Session> {
        self.host.enter(|| {
            let mut session = Session::open(FRONT).context("nginx does not accept")?;
            session.send("GET / HTTP/1.0\r\nHost: lab", b"")?;
            Ok(session)
        })
    }

    /// The errors of upstream connections in the log so far.
    pub(crate) fn complaints(&self) -> Result<Complaints> {
        let log = fs::read_to_string(&self.error_log).context("nginx has no error log")?;
        let count = |what: &str| log.lines().filter(|line| line.contains(what)).count();
        Ok(Complaints {
            reset_by_peer: count("104: Connection reset by peer"),
            prematurely_closed: count("upstream prematurely closed connection"),
        })
    }
}

/// A reverse proxy as the documentation recommends it for keep-alive, which tries each request once.
fn gateway(upstream: SocketAddr) -> String {
    format!(
        r#"upstream u {{
    server {upstream} max_fails=0;
    keepalive 16;
}}
server {{
    listen {FRONT};
    location / {{
        proxy_pass http://u;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_next_upstream off;
    }}
}}"#
    )
}
