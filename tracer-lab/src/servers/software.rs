//! The software of the servers: how each is configured and started.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::servers::plain::Plain;
use crate::testbed::host::Host;
use crate::testbed::nginx;
use crate::testbed::server::ServerProgram;

/// Servers that keep connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Software {
    /// Ours, with exact timeouts.
    Plain,
    Nginx,
    Apache,
    HAProxy,
    Node,
    /// gunicorn with its worker class `gevent`.
    Gevent,
    /// gunicorn with its worker class `gthread`.
    Gthread,
}

use Software::{Apache, Gevent, Gthread, HAProxy, Nginx, Node};

/// A server that is running.
pub(crate) struct Server {
    pub(crate) endpoint: SocketAddr,
    /// As it says itself; empty for our own.
    pub(crate) version: String,
    _runs: Runs,
}

#[expect(dead_code, reason = "held until dropped")]
enum Runs {
    Here(Plain),
    Program(ServerProgram),
}

impl Server {
    /// Starts it on `host`, with its files in `directory`.
    pub(crate) fn start(
        host: &Host,
        endpoint: SocketAddr,
        software: Software,
        timeout: Duration,
        directory: &Path,
    ) -> Result<Self> {
        let directory = directory.join(endpoint.port().to_string());
        fs::create_dir(&directory)?;
        let (version, runs) = if software == Software::Plain {
            (String::new(), Runs::Here(Plain::start(host, endpoint, move || timeout)?))
        } else {
            let words = software.configure(timeout, endpoint, &directory)?;
            let running = ServerProgram::start(host, endpoint, &words, &directory)
                .with_context(|| format!("{} (Debian package {})", words[0], software.package()))?;
            (version(&words[0], software.version_flag())?, Runs::Program(running))
        };
        Ok(Self { endpoint, version, _runs: runs })
    }
}

impl Software {
    fn package(self) -> &'static str {
        match self {
            Self::Plain => "",
            Nginx => "nginx-light",
            Apache => "apache2-bin",
            HAProxy => "haproxy",
            Node => "nodejs",
            Gevent | Gthread => "gunicorn and python3-gevent",
        }
    }

    fn version_flag(self) -> &'static str {
        if matches!(self, Node | Gevent | Gthread) { "--version" } else { "-v" }
    }

    /// Writes its configuration and returns its command line.
    fn configure(self, timeout: Duration, endpoint: SocketAddr, directory: &Path) -> Result<Vec<String>> {
        let (milliseconds, files) = (timeout.as_millis(), directory.display());
        let configuration = directory.join("configuration");
        let path = configuration.display().to_string();
        let words = |line: String| line.split(' ').map(str::to_owned).collect();
        Ok(match self {
            Self::Plain => Vec::new(),
            Nginx => nginx::configure(directory, "nginx", &serve(endpoint, milliseconds))?,
            Apache => {
                fs::write(directory.join("index.html"), "ok\n")?;
                fs::write(&configuration, apache(endpoint, milliseconds, directory))?;
                words(format!("apache2 -D FOREGROUND -f {path}"))
            }
            HAProxy => {
                fs::write(&configuration, haproxy(endpoint, milliseconds))?;
                words(format!("haproxy -db -q -f {path}"))
            }
            Node => {
                fs::write(&configuration, node(endpoint, milliseconds))?;
                words(format!("node {path}"))
            }
            Gevent | Gthread => {
                fs::write(directory.join("app.py"), PYTHON)?;
                let class = if self == Gevent { "gevent" } else { "gthread --threads 8" };
                let seconds = timeout.as_secs();
                words(format!(
                    "gunicorn --bind {endpoint} --worker-class {class} --keep-alive {seconds} --graceful-timeout 1 \
                     --log-level warning --chdir {files} app:answer"
                ))
            }
        })
    }
}

impl fmt::Display for Software {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Plain => "plain",
            Nginx => "nginx",
            Apache => "Apache event",
            HAProxy => "HAProxy",
            Node => "Node",
            Gevent => "gunicorn gevent",
            Gthread => "gunicorn gthread",
        })
    }
}

fn version(program: &str, flag: &str) -> Result<String> {
    let output = Command::new(program).arg(flag).output().with_context(|| format!("cannot run {program}"))?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let number =
        first_number(&said).with_context(|| format!("{program} does not say its version: {said}"))?;
    Ok(number.to_owned())
}

/// The first number of several parts, such as `1.22.1`.
fn first_number(said: &str) -> Option<&str> {
    let mut words = said.split(|letter: char| !letter.is_ascii_digit() && letter != '.');
    words.find(|word| word.contains('.') && word.starts_with(|letter: char| letter.is_ascii_digit()))
}

fn serve(endpoint: SocketAddr, milliseconds: u128) -> String {
    format!(
        "server {{ listen {endpoint}; keepalive_timeout {milliseconds}ms; location / {{ return 200 ok; }} }}"
    )
}

fn apache(endpoint: SocketAddr, milliseconds: u128, directory: &Path) -> String {
    let files = directory.display();
    format!(
        "ServerName lab
Listen {endpoint}
PidFile {files}/apache.pid
ErrorLog {files}/error.log
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
DocumentRoot {files}
StartServers 1
KeepAlive On
KeepAliveTimeout {milliseconds}ms
"
    )
}

fn haproxy(endpoint: SocketAddr, milliseconds: u128) -> String {
    format!(
        "frontend lab
    mode http
    bind {endpoint}
    timeout client 100s
    timeout http-request 10s
    timeout http-keep-alive {milliseconds}ms
    http-request return status 200 content-type text/plain string ok
"
    )
}

fn node(endpoint: SocketAddr, milliseconds: u128) -> String {
    let (address, port) = (endpoint.ip(), endpoint.port());
    format!(
        "const server = require('http').createServer((request, response) => response.end('ok\\n'));
server.keepAliveTimeout = {milliseconds};
server.listen({port}, '{address}');
"
    )
}

const PYTHON: &str = "def answer(environment, start):
    start('200 OK', [('Content-Length', '3')])
    return [b'ok\\n']
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_says_its_version_in_its_own_way() {
        for (said, version) in [
            ("nginx version: nginx/1.22.1\n", Some("1.22.1")),
            ("Server version: Apache/2.4.71 (Debian)\nServer built: 2026-01-12T13:14:15\n", Some("2.4.71")),
            ("HAProxy version 2.6.12-1+deb12u4 2026/09/30 - https://haproxy.org/\n", Some("2.6.12")),
            ("v20.20.2\n", Some("20.20.2")),
            ("gunicorn (version 20.1.0)\n", Some("20.1.0")),
            ("usage: see the manual.\n", None),
        ] {
            assert_eq!(first_number(said), version, "{said}");
        }
    }
}
