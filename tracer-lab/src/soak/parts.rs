//! The steps of the soak's connections.

use std::time::Duration;

use anyhow::Result;

use crate::soak::pair::Pair;
use crate::testbed::wait::let_pass;

/// Bytes of a QUIT.
const QUIT: usize = 6;
/// Bytes of a TLS alert.
const ALERT: usize = 24;

pub(crate) fn client_closes(pair: &mut Pair, exchanges: usize) -> Result<()> {
    pair.open(exchanges)?;
    pair.client_closes();
    pair.server_reads_end()?;
    pair.server_closes();
    Ok(())
}

pub(crate) fn server_closes(pair: &mut Pair, exchanges: usize) -> Result<()> {
    pair.open(exchanges)?;
    pair.server_closes();
    pair.client_reads_end()?;
    pair.client_closes();
    Ok(())
}

pub(crate) fn last_word(pair: &mut Pair, exchanges: usize) -> Result<()> {
    pair.open(exchanges)?;
    pair.client_says(QUIT)?;
    pair.client_closes();
    pair.server_hears(QUIT)?;
    pair.server_reads_end()?;
    pair.server_closes();
    Ok(())
}

pub(crate) fn half_close_answered(pair: &mut Pair, exchanges: usize) -> Result<()> {
    half_close(pair, exchanges)?;
    pair.server_sends()?;
    pair.server_closes();
    pair.client_reads()?;
    pair.client_reads_end()?;
    pair.client_closes();
    Ok(())
}

pub(crate) fn half_close_dropped(pair: &mut Pair, exchanges: usize) -> Result<()> {
    half_close(pair, exchanges)?;
    pair.server_closes();
    pair.client_reads_end()?;
    pair.client_closes();
    Ok(())
}

pub(crate) fn half_close_reset(pair: &mut Pair, exchanges: usize) -> Result<()> {
    half_close(pair, exchanges)?;
    pair.client_waits_for_fin()?;
    pair.server_resets()?;
    pair.client_is_reset()
}

/// The server has taken a request, behind which the client has shut down its sending side.
fn half_close(pair: &mut Pair, exchanges: usize) -> Result<()> {
    take(pair, exchanges)?;
    pair.client_shuts_down()?;
    pair.server_reads_end()
}

pub(crate) fn health_check(pair: &mut Pair, _: usize) -> Result<()> {
    pair.open(0)?;
    pair.client_resets()?;
    pair.server_is_reset()
}

pub(crate) fn never_accepted(pair: &mut Pair, _: usize) -> Result<()> {
    pair.listener_closes()?;
    pair.client_is_reset()
}

pub(crate) fn server_resets_idle(pair: &mut Pair, exchanges: usize) -> Result<()> {
    pair.open(exchanges)?;
    pair.server_resets()?;
    pair.client_is_reset()
}

pub(crate) fn close_unread(pair: &mut Pair, exchanges: usize) -> Result<()> {
    pair.open(exchanges)?;
    pair.idles();
    pair.client_sends()?;
    pair.server_has_unread()?;
    pair.server_closes();
    pair.client_is_reset()
}

pub(crate) fn race_of_pooled(pair: &mut Pair, _: usize) -> Result<()> {
    pair.open(0)?;
    pair.idles();
    pair.server_closes();
    pair.server_waits_for_fin()?;
    pair.client_sends()?;
    pair.client_is_reset()
}

pub(crate) fn race_acknowledged_fin(pair: &mut Pair, exchanges: usize) -> Result<()> {
    pair.open(exchanges)?;
    pair.idles();
    pair.server_closes();
    pair.server_waits_for_fin()?;
    pair.client_sends()?;
    pair.client_is_reset()
}

/// Whether the FIN has arrived, and is acknowledged, when the request leaves, is left to chance.
pub(crate) fn race_fresh_fin(pair: &mut Pair, exchanges: usize) -> Result<()> {
    pair.open(exchanges)?;
    pair.idles();
    pair.server_closes();
    pair.client_sends()?;
    pair.client_is_reset()
}

/// The same where the server reads the request and throws it away.
pub(crate) fn lingering_close(pair: &mut Pair, exchanges: usize) -> Result<()> {
    pair.open(exchanges)?;
    pair.idles();
    pair.server_shuts_down()?;
    throw_away(pair)
}

pub(crate) fn lingering_close_unprocessed(pair: &mut Pair, exchanges: usize) -> Result<()> {
    pair.open(exchanges)?;
    pair.idles();
    pair.server_shuts_down()?;
    pair.server_waits_for_fin()?;
    throw_away(pair)
}

fn throw_away(pair: &mut Pair) -> Result<()> {
    pair.client_sends()?;
    pair.server_reads()?;
    pair.client_reads_end()?;
    pair.client_closes();
    pair.server_reads_end()?;
    pair.server_closes();
    Ok(())
}

/// The server has taken a request.
fn take(pair: &mut Pair, exchanges: usize) -> Result<()> {
    pair.open(exchanges)?;
    pair.idles();
    pair.client_sends()?;
    pair.server_reads()
}

pub(crate) fn reset_open_request(pair: &mut Pair, exchanges: usize) -> Result<()> {
    take(pair, exchanges)?;
    pair.server_resets()?;
    pair.client_is_reset()
}

pub(crate) fn close_taken(pair: &mut Pair, exchanges: usize) -> Result<()> {
    take(pair, exchanges)?;
    pair.server_closes();
    pair.client_reads_end()?;
    pair.client_closes();
    Ok(())
}

pub(crate) fn upload_cut(pair: &mut Pair, exchanges: usize) -> Result<()> {
    take(pair, exchanges)?;
    pair.client_sends()?;
    pair.server_has_unread()?;
    pair.server_closes();
    pair.client_is_reset()
}

pub(crate) fn upload_answered(pair: &mut Pair, exchanges: usize) -> Result<()> {
    take(pair, exchanges)?;
    pair.client_sends()?;
    pair.server_has_unread()?;
    pair.server_sends()?;
    pair.client_has_unread()?;
    pair.server_closes();
    pair.client_is_reset()
}

pub(crate) fn response_unread(pair: &mut Pair, exchanges: usize) -> Result<()> {
    take(pair, exchanges)?;
    pair.server_sends()?;
    pair.client_has_unread()?;
    pair.client_closes();
    pair.server_is_reset()
}

pub(crate) fn response_to_nobody(pair: &mut Pair, exchanges: usize) -> Result<()> {
    pair.open(exchanges)?;
    pair.client_sends()?;
    pair.client_closes();
    pair.client_waits_for_fin()?;
    pair.server_reads()?;
    pair.server_sends()?;
    pair.server_is_reset()
}

/// How long a client waits before it gives up: longer than what counts as idle.
const PATIENCE: Duration = Duration::from_millis(60);

pub(crate) fn client_gives_up(pair: &mut Pair, exchanges: usize) -> Result<()> {
    take(pair, exchanges)?;
    // One that closes at once may have said a last word.
    let_pass(PATIENCE);
    pair.client_closes();
    pair.server_reads_end()?;
    pair.server_closes();
    Ok(())
}

pub(crate) fn client_resets_open_request(pair: &mut Pair, exchanges: usize) -> Result<()> {
    pair.open(exchanges)?;
    pair.client_sends()?;
    pair.server_has_unread()?;
    pair.client_resets()?;
    pair.server_is_reset()
}

pub(crate) fn alert_to_closed(pair: &mut Pair, exchanges: usize) -> Result<()> {
    pair.open(exchanges)?;
    pair.idles();
    pair.server_closes();
    pair.server_waits_for_fin()?;
    pair.client_says(ALERT)?;
    pair.client_is_reset()
}

pub(crate) fn server_forgets(pair: &mut Pair, exchanges: usize) -> Result<()> {
    pair.open(exchanges)?;
    pair.idles();
    pair.server_vanishes()?;
    pair.client_sends()?;
    pair.client_is_reset()
}
