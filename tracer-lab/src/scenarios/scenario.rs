//! What a scenario is: steps, and what must be seen of them.

use anyhow::Result;

use crate::oracle::expectation::{Line, Rsts};
use crate::testbed::network::Network;
use crate::traffic::connection::Connection;

/// One row of the lab's table.
pub struct Scenario {
    /// What happens, in a few words joined by hyphens.
    pub name: &'static str,
    /// One sentence.
    pub says: &'static str,
    /// Runs it, and leaves the sockets as they are at the end.
    pub(crate) run: fn(&Network) -> Result<Connection<'_>>,
    /// RST segments on the wire, where a host is that the tracer must speak of.
    pub(crate) rsts: Rsts,
    /// The same where a host is that it must not speak of.
    pub(crate) silent_rsts: Rsts,
    /// The one line that the tracer prints about each host; nothing else may be said of it.
    pub(crate) server: Option<Line>,
    pub(crate) standby: Option<Line>,
    pub(crate) client: Option<Line>,
}
