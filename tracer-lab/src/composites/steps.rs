//! The steps of scenarios that others repeat.

use anyhow::Result;

use crate::testbed::diag::State::TimeWaitForFin;
use crate::traffic::connection::Connection;

/// Scenario unread-close-unacked, from an idle connection on.
pub(crate) fn close_unread(connection: &mut Connection) -> Result<()> {
    connection.client_requests()?;
    connection.server_has_the_request_unread()?;
    connection.server_closes();
    connection.client_is_gone()
}

/// Scenario race-fin-unprocessed, from an idle connection on.
pub(crate) fn request_after_fin(connection: &mut Connection) -> Result<()> {
    connection.server_closes();
    connection.server_reaches(TimeWaitForFin)?;
    connection.client_requests()?;
    connection.client_is_gone()
}
