//! nginx on the client host, in front of an upstream that closes its keep-alive connections as requests come.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::testbed::host::Host;
use crate::testbed::wait::{patience, until};

/// Where nginx serves inside its namespace.
const FRONT: (&str, u16) = ("127.0.0.1", 8000);

/// A running nginx, ended when dropped.
pub(crate) struct Nginx<'net> {
    host: &'net Host,
    process: Child,
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
        let configuration = directory.join("nginx.conf");
        fs::write(&configuration, configure(directory, upstream))?;
        let error_log = directory.join("error.log");
        let spawn = || {
            // `timeout`: should the lab be killed, no nginx outlives it for long.
            Command::new("timeout")
                .args(["--foreground", "120", "nginx"])
                .arg("-e")
                .arg(&error_log)
                .arg("-c")
                .arg(&configuration)
                .stdin(Stdio::null())
                .spawn()
                .context("cannot run nginx (Debian package nginx-light)")
        };
        let mut nginx = Self { host, process: host.enter(spawn)?, error_log: error_log.clone() };
        until("nginx to serve", || {
            if let Some(status) = nginx.process.try_wait()? {
                bail!("nginx ended at once ({status}): {}", fs::read_to_string(&nginx.error_log)?.trim());
            }
            // It writes the file once it listens. To try to connect before would be another reset.
            Ok(directory.join("nginx.pid").exists().then_some(()))
        })?;
        Ok(nginx)
    }

    /// Sends a request; nginx passes it on at once.
    pub(crate) fn request(&self) -> Result<TcpStream> {
        let mut stream = self.connect().context("nginx does not accept")?;
        stream.write_all(b"GET / HTTP/1.0\r\nHost: lab\r\n\r\n")?;
        Ok(stream)
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

    fn connect(&self) -> Result<TcpStream> {
        self.host.enter(|| {
            let stream = TcpStream::connect(FRONT)?;
            stream.set_read_timeout(Some(patience()))?;
            Ok(stream)
        })
    }
}

impl Drop for Nginx<'_> {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.process.id()) {
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let _ = self.process.wait();
    }
}

/// The status of nginx's answer to a request.
pub(crate) fn status(mut request: TcpStream) -> Result<u16> {
    let mut answer = String::new();
    request.read_to_string(&mut answer).context("nginx does not answer")?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.with_context(|| format!("not an HTTP answer: {answer:?}"))
}

/// A reverse proxy as the documentation recommends it for keep-alive, which tries each request once.
fn configure(directory: &Path, upstream: SocketAddr) -> String {
    let (directory, (address, port)) = (directory.display(), FRONT);
    format!(
        r#"daemon off;
master_process off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log error;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {directory}/client_body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    scgi_temp_path {directory}/scgi;
    uwsgi_temp_path {directory}/uwsgi;
    upstream u {{
        server {upstream} max_fails=0;
        keepalive 16;
    }}
    server {{
        listen {address}:{port};
        location / {{
            proxy_pass http://u;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_next_upstream off;
        }}
    }}
}}
"#
    )
}
