//! One tracer under many tests.

use std::sync::{Arc, OnceLock};

use anyhow::{Result, anyhow};

use crate::testbed::daemon::DaemonUnderTest;

/// A tracer that the first test starts. Clones are the same one.
#[derive(Clone)]
pub struct SharedDaemon {
    start: fn() -> Result<DaemonUnderTest>,
    started: Arc<OnceLock<Result<DaemonUnderTest, String>>>,
}

impl SharedDaemon {
    /// One that nobody has started yet.
    #[must_use]
    pub fn new(start: fn() -> Result<DaemonUnderTest>) -> Self {
        Self { start, started: Arc::default() }
    }

    /// The running tracer. An error to start it is returned to each caller.
    pub fn get(&self) -> Result<&DaemonUnderTest> {
        let start = || {
            crate::testbed::host::sweep().and_then(|()| (self.start)()).map_err(|error| format!("{error:#}"))
        };
        self.started.get_or_init(start).as_ref().map_err(|error| anyhow!("{error}"))
    }

    /// Ends it, if it ran, once all clones are gone: it must end well.
    pub fn stop(self) -> Result<()> {
        let started = Arc::into_inner(self.started).and_then(OnceLock::into_inner);
        started.and_then(Result::ok).map_or(Ok(()), DaemonUnderTest::stop)
    }
}
