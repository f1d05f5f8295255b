//! Two hosts and a wire: nginx serves on one, wrk asks from the other.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::testbed::link::Link;
use crate::testbed::nginx;
use crate::testbed::server::ServerProgram;

/// Where nginx serves.
pub(crate) const SERVER: &str = "10.79.0.1";
/// The port that all traffic goes to; below those that kernels choose from.
pub(crate) const PORT: u16 = 27_180;
/// Bytes of the page: those of Debian's own.
const PAGE: usize = 612;

/// The hosts, with nginx on the server. All is gone when dropped.
pub(crate) struct Testbed {
    // Ended first: it lives on the server.
    _nginx: ServerProgram,
    pub(crate) link: Link,
    directory: TempDir,
}

impl Testbed {
    /// Makes the hosts and starts nginx, as Debian configures it, less the access log.
    pub(crate) fn make() -> Result<Self> {
        let link = Link::between("10.79.0.2", SERVER)?;
        let directory = TempDir::new().context("no temporary directory")?;
        let files = directory.path();
        fs::write(files.join("index.html"), vec![b'x'; PAGE])?;
        let site = format!(
            "sendfile on;\ntcp_nopush on;\nserver {{ listen {SERVER}:{PORT}; root {}; }}",
            files.display()
        );
        let words = nginx::configure_workers(files, "nginx", "auto", &site)?;
        let nginx = ServerProgram::start(&link.server, format!("{SERVER}:{PORT}").parse()?, &words, files)?;
        Ok(Self { _nginx: nginx, link, directory })
    }

    /// A directory for files that are of no further interest.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }
}
