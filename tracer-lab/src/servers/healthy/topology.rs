//! Who talks to whom.
//!
//! ```text
//! clients ── proxy (nginx) ──┬── node      each closes idle connections to the right of it
//!    └───────────────────────┴── pages     sooner than what is to the right would
//! ```

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::servers::client::Clients;
use crate::servers::endpoint;
use crate::testbed::network::Network;
use crate::testbed::nginx;
use crate::testbed::server::ServerProgram;

/// Node's setting. Some releases add a second to it (20.20 does, 18.20 does not): what it comes to is measured.
const NODE_KEEPS: Duration = Duration::from_secs(2);
/// Idle connections that measure it.
const SAMPLES: usize = 5;
/// The two nginx.
const NGINX_KEEPS: Duration = Duration::from_secs(3);
/// Upper bound on how long clients keep connections: well below what any server does.
pub(crate) const CLIENTS_KEEP: Duration = Duration::from_millis(1_200);
/// What the proxy keeps of its upstreams.
const PROXY_KEEPS: Duration = Duration::from_millis(700);
/// Longer than anybody keeps an idle connection.
pub(crate) const SLOW: Duration = Duration::from_millis(3_500);

/// Where they serve.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    pub(crate) node: SocketAddr,
    pub(crate) pages: SocketAddr,
    pub(crate) proxy: SocketAddr,
}

/// The servers.
pub(crate) struct Topology<'net> {
    net: &'net Network,
    directory: PathBuf,
    pub(crate) addresses: Addresses,
    node: Option<ServerProgram>,
    node_takes: Duration,
    _pages: ServerProgram,
    pages_words: Vec<String>,
    _proxy: ServerProgram,
    proxy_words: Vec<String>,
}

impl<'net> Topology<'net> {
    pub(crate) fn start(net: &'net Network, directory: &Path) -> Result<Self> {
        let (node, pages) = (endpoint(net), endpoint(net));
        let proxy = SocketAddr::new(net.client_address().ip(), endpoint(net).port());
        let addresses = Addresses { node, pages, proxy };
        fs::write(directory.join("node.js"), script(node))?;
        let pages_words = nginx::configure(directory, "pages", &site(pages, directory))?;
        let proxy_words = nginx::configure(directory, "proxy", &gateway(&addresses))?;
        fs::write(directory.join("small"), "ok\n")?;
        fs::write(directory.join("large"), vec![b'.'; 2_000_000])?;
        let running = start_node(net, node, directory)?;
        Ok(Self {
            net,
            directory: directory.to_path_buf(),
            addresses,
            node: Some(running),
            node_takes: measure(net, node)?,
            _pages: ServerProgram::start(&net.server, pages, &pages_words, directory)?,
            _proxy: ServerProgram::start(&net.client, proxy, &proxy_words, directory)?,
            pages_words,
            proxy_words,
        })
    }

    /// After how long each of them really closes.
    pub(crate) fn truths(&self) -> [(SocketAddr, Duration); 3] {
        let Addresses { node, pages, proxy } = self.addresses;
        [(node, self.node_takes), (pages, NGINX_KEEPS), (proxy, NGINX_KEEPS)]
    }

    /// Reloads or restarts one server after the other.
    pub(crate) fn disturb(&mut self, turn: u32) -> Result<()> {
        match turn % 3 {
            0 => nginx::reload(&self.net.server, &self.pages_words),
            1 => {
                // The old one must be gone before the new one can listen.
                self.node = None;
                self.node = Some(start_node(self.net, self.addresses.node, &self.directory)?);
                Ok(())
            }
            _ => nginx::reload(&self.net.client, &self.proxy_words),
        }
    }
}

fn start_node(net: &Network, node: SocketAddr, directory: &Path) -> Result<ServerProgram> {
    ServerProgram::start(&net.server, node, &["node".into(), directory.join("node.js")], directory)
}

/// After how long Node closes an idle connection. The shortest counts: a busy machine only makes it later.
fn measure(net: &Network, node: SocketAddr) -> Result<Duration> {
    let idle = net.client.enter(|| Clients::spread(node, NODE_KEEPS).make(SAMPLES, || ()))?;
    idle.into_iter().min().context("Node closed no connection")
}

fn script(node: SocketAddr) -> String {
    let (address, port) = (node.ip(), node.port());
    let (keep, slow) = (NODE_KEEPS.as_millis(), SLOW.as_millis());
    format!(
        "const large = Buffer.alloc(2_000_000, '.');
const server = require('http').createServer((request, response) => {{
  const body = request.url === '/large' ? large : 'ok\\n';
  const answer = () => response.setHeader('Content-Length', body.length).end(body);
  request.resume().on('end', () => request.url === '/slow' ? setTimeout(answer, {slow}) : answer());
}});
server.keepAliveTimeout = {keep};
server.listen({port}, '{address}');
"
    )
}

/// Files; a connection is over after 20 requests, and the last answer says so.
fn site(pages: SocketAddr, directory: &Path) -> String {
    let (keeps, files) = (NGINX_KEEPS.as_millis(), directory.display());
    format!("server {{ listen {pages}; keepalive_timeout {keeps}ms; keepalive_requests 20; root {files}; }}")
}

/// A reverse proxy that closes idle connections before its upstreams do.
fn gateway(addresses: &Addresses) -> String {
    let Addresses { node, pages, proxy } = addresses;
    let (keeps, upstream) = (NGINX_KEEPS.as_millis(), PROXY_KEEPS.as_millis());
    format!(
        "client_max_body_size 8m;
upstream node {{ server {node} max_fails=0; keepalive 8; keepalive_timeout {upstream}ms; }}
upstream pages {{ server {pages} max_fails=0; keepalive 8; keepalive_timeout {upstream}ms; }}
server {{
    listen {proxy};
    keepalive_timeout {keeps}ms;
    proxy_http_version 1.1;
    proxy_set_header Connection \"\";
    proxy_next_upstream off;
    location / {{ proxy_pass http://node; }}
    location /pages/ {{ proxy_pass http://pages/; }}
}}"
    )
}
