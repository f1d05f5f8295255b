//! Two hosts and a wire: nginx serves on one, wrk asks from the other.

use std::fs;
use std::path::Path;
use std::process::{self, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::bench::running::Running;
use crate::testbed::host::{Host, ip};
use crate::testbed::wait::until;

/// Where nginx serves.
pub(crate) const SERVER: &str = "10.79.0.1";
/// The port that all traffic goes to; below those that kernels choose from.
pub(crate) const PORT: u16 = 27_180;
/// Bytes of the page: those of Debian's own.
const PAGE: usize = 612;

/// The hosts, with nginx on the server. All is gone when dropped.
pub(crate) struct Stage {
    // Ended first: it lives on the server.
    _nginx: Running,
    pub(crate) client: Host,
    pub(crate) server: Host,
    directory: TempDir,
}

impl Stage {
    /// Makes the hosts and starts nginx.
    pub(crate) fn set() -> Result<Self> {
        let [client, server] = ["c", "s"].map(host);
        let (client, server) = (client?, server?);
        ip(
            None,
            &format!(
                "link add eth0 netns {} type veth peer name eth0 netns {}",
                client.name(),
                server.name()
            ),
        )?;
        for (host, address) in [(&client, "10.79.0.2"), (&server, SERVER)] {
            host.ip(&format!("link set lo up\nlink set eth0 up\naddress add {address}/24 dev eth0"))?;
        }
        let directory = TempDir::new().context("no temporary directory")?;
        let nginx = nginx(&server, directory.path())?;
        Ok(Self { _nginx: nginx, client, server, directory })
    }

    /// A directory for files that are of no further interest.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// A host of this bench; a bench that was killed is cleaned up by the next lab or bench.
pub(crate) fn host(role: &str) -> Result<Host> {
    Host::create(format!("tracer-lab-{}-bench-{role}", process::id()))
}

fn nginx(server: &Host, directory: &Path) -> Result<Running> {
    let path = |name: &str| directory.join(name);
    fs::create_dir(path("html"))?;
    fs::write(path("html/index.html"), vec![b'x'; PAGE])?;
    // nginx's workers are not root.
    open_to_all(directory)?;
    fs::write(path("nginx.conf"), configuration(directory))?;
    let mut command = Command::new("nginx");
    command.arg("-e").arg(path("error.log")).arg("-c").arg(path("nginx.conf")).stdin(Stdio::null());
    let mut nginx = Running::start(command, server)?;
    until("nginx to serve", || {
        if let Some(status) = nginx.ended()? {
            let log = fs::read_to_string(path("error.log")).unwrap_or_default();
            bail!("nginx ended at once ({status}): {}", log.trim());
        }
        Ok(path("nginx.pid").exists().then_some(()))
    })?;
    Ok(nginx)
}

fn open_to_all(directory: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(fs::set_permissions(directory, fs::Permissions::from_mode(0o755))?)
}

/// As Debian configures it, less the access log.
fn configuration(directory: &Path) -> String {
    let directory = directory.display();
    format!(
        r"daemon off;
user www-data;
worker_processes auto;
pid {directory}/nginx.pid;
error_log {directory}/error.log error;
events {{ worker_connections 768; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    client_body_temp_path {directory}/client_body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    scgi_temp_path {directory}/scgi;
    uwsgi_temp_path {directory}/uwsgi;
    server {{
        listen {SERVER}:{PORT};
        root {directory}/html;
    }}
}}
"
    )
}
