//! Who asks the servers: proxies, whose logs say what they lost, and HTTP clients.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::servers::failures::client::{self, Library};
use crate::servers::failures::envoy;
use crate::servers::failures::loss::{self, Loss};
use crate::servers::failures::proxy;
use crate::servers::failures::upstream::Speaks;
use crate::servers::failures::walk::{Answer, Plan, walk};
use crate::servers::failures::wire::Connections;
use crate::testbed::host::Host;
use crate::testbed::nginx;
use crate::testbed::server::ServerProgram;
use crate::testbed::wait::until;

/// A proxy or a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Front {
    Nginx,
    HAProxy,
    Envoy,
    /// Ours: it never looks whether the server has closed.
    Raw,
    Client(Library),
}

/// A proxy that is running, with its log.
pub(crate) struct Proxy {
    front: Front,
    pub(crate) endpoint: SocketAddr,
    log: PathBuf,
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
    /// Whether it is here, of those that are no Debian packages.
    pub(crate) fn is_installed(self) -> bool {
        match self {
            Self::Envoy => envoy::is_installed(),
            Self::Client(library) => library.is_installed(),
            Self::Nginx | Self::HAProxy | Self::Raw => true,
        }
    }

    /// Whether it has a line, or an option, for how long it keeps idle connections.
    pub(crate) fn has_idle_timeout(self) -> bool {
        match self {
            Self::Nginx | Self::HAProxy | Self::Envoy | Self::Raw => true,
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
        // Envoy goes by the ending.
        let file = directory.join("front.yaml");
        let name = file.display().to_string();
        let (words, log) = match self {
            Self::Nginx => {
                let text = proxy::nginx(endpoint, speaks, plan, scripts);
                (nginx::configure(directory, "front", &text)?, directory.join("front.error"))
            }
            Self::HAProxy => {
                fs::write(&file, proxy::haproxy(endpoint, speaks, plan))?;
                let words = ["haproxy", "-db", "-f", &name].map(str::to_owned);
                (words.to_vec(), directory.join(format!("{}.log", endpoint.port())))
            }
            Self::Envoy => {
                let log = directory.join("front.access");
                fs::write(&file, envoy::in_front(endpoint, speaks, plan, &log))?;
                (envoy::words(&file)?.split(' ').map(str::to_owned).collect(), log)
            }
            Self::Raw | Self::Client(_) => return Ok(None),
        };
        let program = ServerProgram::start(host, endpoint, &words, directory)
            .with_context(|| format!("{self} does not start"))?;
        Ok(Some(Proxy { front: self, endpoint, log, _program: program }))
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
        let text = self.log_of(answers.len())?;
        let said = match self.front {
            Front::Nginx => text.lines().filter_map(loss::nginx).collect::<Vec<_>>(),
            Front::Envoy => text.lines().filter_map(loss::envoy).collect(),
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

    /// What it wrote about `requests` requests. Envoy writes a line for each of them, a moment later.
    fn log_of(&self, requests: usize) -> Result<String> {
        let read = || fs::read_to_string(&self.log).with_context(|| format!("no log {}", self.log.display()));
        match self.front {
            Front::Envoy => until("Envoy's log to be written", || {
                Ok(Some(read()?).filter(|text| text.lines().count() >= requests))
            }),
            _ => read(),
        }
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
            Self::Envoy => out.write_str("Envoy"),
            Self::Raw => out.write_str("plain socket"),
            Self::Client(library) => write!(out, "{library}"),
        }
    }
}
