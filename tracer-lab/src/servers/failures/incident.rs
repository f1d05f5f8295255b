//! What the tracer says, line by line.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::Result;
use serde::Deserialize;

use crate::testbed::daemon::{self, DaemonUnderTest, MAX_SERIES};

/// Causes that cost no request.
pub(crate) const HARMLESS: [&str; 2] = ["no_request", "after_response"];

/// One line, as far as it is judged.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Incident {
    pub(crate) role: String,
    pub(crate) cause: String,
    pub(crate) race: Option<String>,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) netns: u64,
    pub(crate) connection: Option<String>,
    pub(crate) ended_by: Option<String>,
    pub(crate) request_read: Option<String>,
    /// When it was read.
    #[serde(skip, default = "Instant::now")]
    pub(crate) at: Instant,
    /// All of it.
    #[serde(skip)]
    pub(crate) line: String,
}

impl Incident {
    pub(crate) fn parse(line: &str) -> serde_json::Result<Self> {
        Ok(Self { line: line.to_owned(), ..serde_json::from_str(line)? })
    }

    pub(crate) fn is_failure(&self) -> bool {
        !HARMLESS.contains(&self.cause.as_str())
    }

    /// The client's address and the server's; of one that does not know its role, either way round.
    pub(crate) fn ends(&self) -> [SocketAddr; 2] {
        if self.role == "client" { [self.local, self.remote] } else { [self.remote, self.local] }
    }

    /// As a table shows it.
    pub(crate) fn kind(&self) -> String {
        format!("{} by {}", self.cause, self.ended_by.as_deref().unwrap_or("rst"))
    }
}

/// A tracer and what it has printed so far.
pub(crate) struct Tracer {
    pub(crate) daemon: DaemonUnderTest,
    printed: Arc<Mutex<Printed>>,
}

#[derive(Default)]
struct Printed {
    incidents: Vec<Incident>,
    unreadable: Vec<String>,
}

impl Tracer {
    pub(crate) fn start() -> Result<Self> {
        let flags = ["--events", "json", "--listen-address", "127.0.0.1", "--max-series", MAX_SERIES];
        let mut daemon = DaemonUnderTest::of(daemon::command(&[], &flags))?;
        daemon.is_ready()?;
        let (stdout, printed) = (daemon.stdout()?, Arc::<Mutex<Printed>>::default());
        let into = Arc::clone(&printed);
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let mut printed = into.lock().unwrap_or_else(PoisonError::into_inner);
                match Incident::parse(&line) {
                    Ok(incident) => printed.incidents.push(incident),
                    Err(error) => printed.unreadable.push(format!("{error}: {line}")),
                }
            }
        });
        Ok(Self { daemon, printed })
    }

    /// What it said of these network namespaces.
    pub(crate) fn about(&self, netns: &[u64]) -> Vec<Incident> {
        let printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        printed.incidents.iter().filter(|incident| netns.contains(&incident.netns)).cloned().collect()
    }

    /// Ends it, which must go well; every line must have been one of the contract.
    pub(crate) fn stop(self) -> Result<()> {
        self.daemon.stop()?;
        let printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        anyhow::ensure!(printed.unreadable.is_empty(), "unreadable: {}", printed.unreadable.join("; "));
        Ok(())
    }
}
