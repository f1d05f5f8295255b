//! Who asks the servers: proxies, whose logs say what they lost, and HTTP clients.

use std::fmt;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::servers::failures::client::{self, Library};
use crate::servers::failures::loss::{self, Loss};
use crate::servers::failures::upstream::Speaks;
use crate::servers::failures::walk::{Answer, Plan, walk};
use crate::servers::failures::wire::Connections;
use crate::testbed::host::Host;
use crate::testbed::nginx;
use crate::testbed::server::ServerProgram;

/// A proxy or a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Front {
    Nginx,
    HAProxy,
    /// Ours: it never looks whether the server has closed.
    Raw,
    Client(Library),
}

/// A proxy that is running, with its log.
pub(crate) struct Proxy {
    front: Front,
    pub(crate) endpoint: SocketAddr,
    log: String,
    _program: ServerProgram,
}

/// What came of walking.
#[derive(Default)]
pub(crate) struct Walked {
    /// Requests of which an application says that they failed.
    pub(crate) losses: Vec<Loss>,
    /// Lines in which it says so.
    pub(crate) lines: usize,
    /// Uploads that were answered with 413 before they were sent.
    pub(crate) refused: Vec<u64>,
    /// On connections to a proxy.
    pub(crate) refused_at_proxy: Vec<SocketAddr>,
    pub(crate) requests: usize,
    /// On which connections requests went that the wire does not show.
    pub(crate) connections: Connections,
}

impl Front {
    /// Whether it has a line, or an option, for how long it keeps idle connections.
    pub(crate) fn has_idle_timeout(self) -> bool {
        match self {
            Self::Nginx | Self::HAProxy | Self::Raw => true,
            Self::Client(library) => library.has_idle_timeout(),
        }
    }

    /// Starts it on `host` if it is a proxy, with a pool of its own for each walker.
    pub(crate) fn start(
        self,
        host: &Host,
        endpoint: SocketAddr,
        speaks: Speaks,
        plan: &Plan,
        directory: &Path,
        scripts: &Path,
    ) -> Result<Option<Proxy>> {
        let (words, log) = match self {
            Self::Nginx => {
                let words =
                    nginx::configure(directory, "front", &through_nginx(endpoint, speaks, plan, scripts))?;
                (words, directory.join("front.error"))
            }
            Self::HAProxy => {
                let file = directory.join("front.conf");
                fs::write(&file, through_haproxy(endpoint, speaks, plan))?;
                let words = ["haproxy", "-db", "-f", &file.display().to_string()].map(str::to_owned);
                (words.to_vec(), directory.join(format!("{}.log", endpoint.port())))
            }
            Self::Raw | Self::Client(_) => return Ok(None),
        };
        let program = ServerProgram::start(host, endpoint, &words, directory)
            .with_context(|| format!("{self} does not start"))?;
        Ok(Some(Proxy { front: self, endpoint, log: log.display().to_string(), _program: program }))
    }

    /// Walks on the host of the calling thread, through `proxy` if it is one.
    pub(crate) fn walk(self, plan: &Plan, proxy: Option<&Proxy>, directory: &Path) -> Result<Walked> {
        let requests = (plan.walkers * plan.rounds) as usize;
        match (self, proxy) {
            (_, Some(proxy)) => proxy.walk(plan),
            (Self::Client(library), None) => {
                Ok(Walked { requests, ..client::walk(library, plan, directory)? })
            }
            (_, None) => {
                let answers = walk(plan);
                let losses: Vec<_> = answers.iter().filter_map(Loss::of).collect();
                let (lines, refused) = (losses.len(), refused(&answers).map(|answer| answer.id).collect());
                Ok(Walked { losses, lines, refused, requests, ..Walked::default() })
            }
        }
    }
}

impl Proxy {
    fn walk(&self, plan: &Plan) -> Result<Walked> {
        // It answers, however it goes on behind it.
        let before_it =
            Plan { server: self.endpoint, patience: plan.patience + 20_000, renews: true, ..plan.clone() };
        let answers = walk(&before_it);
        let text = fs::read_to_string(&self.log).with_context(|| format!("no log {}", self.log))?;
        let said = match self.front {
            Front::Nginx => text.lines().filter_map(loss::nginx).collect::<Vec<_>>(),
            _ => text.lines().filter_map(loss::haproxy).collect(),
        };
        // The end of an answer that was cut is one like any other to a proxy's client.
        let dropped: Vec<_> = answers.iter().filter(|answer| !answer.begun).filter_map(Loss::of).collect();
        let lines = said.len() + dropped.len();
        let mut losses: Vec<Loss> = Vec::new();
        for mut loss in said {
            loss.at = answers.iter().find(|answer| answer.id == loss.id).map(|answer| answer.at);
            // It may say more than once what became of one request.
            if losses.iter().all(|known| known.id != loss.id) {
                losses.push(loss);
            }
        }
        // HAProxy says nothing of it where the client should try again: it closes the connection to it, too.
        for loss in dropped {
            if losses.iter().all(|known| known.id != loss.id) {
                losses.push(Loss { client: None, ..loss.clone() });
            }
            losses.push(Loss { at_proxy: true, ..loss });
        }
        Ok(Walked {
            losses,
            lines,
            refused: refused(&answers).map(|answer| answer.id).collect(),
            refused_at_proxy: errors(&answers).filter_map(|answer| answer.client).collect(),
            requests: answers.len(),
            connections: Connections::new(),
        })
    }
}

fn refused(answers: &[Answer]) -> impl Iterator<Item = &Answer> {
    answers.iter().filter(|answer| answer.got == Ok(413))
}

/// The proxy may answer so, and close, before it has read all.
fn errors(answers: &[Answer]) -> impl Iterator<Item = &Answer> {
    answers.iter().filter(|answer| answer.got.as_ref().is_ok_and(|status| *status >= 400))
}

impl fmt::Display for Front {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nginx => out.write_str("nginx"),
            Self::HAProxy => out.write_str("HAProxy"),
            Self::Raw => out.write_str("plain socket"),
            Self::Client(library) => write!(out, "{library}"),
        }
    }
}

fn through_nginx(endpoint: SocketAddr, speaks: Speaks, plan: &Plan, scripts: &Path) -> String {
    let mut text = String::new();
    let keeps =
        plan.remedy.as_ref().and_then(|remedy| remedy.line("nginx")).unwrap_or("keepalive_timeout 60s;");
    for walker in 0..plan.walkers {
        let server = plan.server;
        let _ =
            writeln!(text, "upstream u{walker} {{ server {server} max_fails=0; keepalive 1;\n{keeps}\n}}");
    }
    let patience = plan.patience;
    let _ = writeln!(
        text,
        "server {{
listen {endpoint};
keepalive_timeout 60s;
keepalive_requests 100000;"
    );
    let scheme = if speaks == Speaks::Https { "https" } else { "http" };
    for walker in 0..plan.walkers {
        let _ = match speaks {
            Speaks::Http | Speaks::Https | Speaks::Http2 | Speaks::Own => writeln!(
                text,
                "location /w{walker}/ {{ proxy_pass {scheme}://u{walker}; proxy_http_version 1.1;
proxy_set_header Connection \"\"; proxy_next_upstream off; proxy_request_buffering off;
proxy_connect_timeout {patience}ms; proxy_read_timeout {patience}ms; }}"
            ),
            Speaks::FastCgi => writeln!(
                text,
                "location /w{walker}/ {{ fastcgi_pass u{walker}; fastcgi_keep_conn on; fastcgi_next_upstream off;
fastcgi_param REQUEST_URI $request_uri; fastcgi_param REQUEST_METHOD $request_method;
fastcgi_param SCRIPT_FILENAME {}/answer.php; fastcgi_read_timeout {patience}ms; }}",
                scripts.display()
            ),
        };
    }
    text.push('}');
    text
}

fn through_haproxy(endpoint: SocketAddr, speaks: Speaks, plan: &Plan) -> String {
    let patience = plan.patience;
    let mut text = format!(
        "global
    nbthread 1
    log stdout format raw local0
defaults
    mode http
    log global
    log-format \"lost %ts %bi %bp %HP\"
    timeout client 60s
    timeout http-keep-alive 60s
    timeout connect {patience}ms
    timeout server {patience}ms
    retries 0
    http-reuse always
frontend lab
    bind {endpoint}
    use_backend %[path,field(2,/)]
"
    );
    let keeps =
        plan.remedy.as_ref().and_then(|remedy| remedy.line("HAProxy")).unwrap_or("pool-purge-delay 60s");
    let tls = if speaks == Speaks::Https { "ssl verify none" } else { "" };
    for walker in 0..plan.walkers {
        let _ = writeln!(text, "backend w{walker}\n    server s {} {tls} {keeps}", plan.server);
    }
    text
}
