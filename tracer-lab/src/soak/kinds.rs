//! What can happen to a connection of the soak, and what the tracer must say of it.

use anyhow::Result;

use crate::soak::pair::Pair;

/// A kind of connection.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// What happens, on a connection that is not open yet. The number is that of the exchanges before the last, at
    /// least one.
    pub(crate) run: fn(&mut Pair, usize) -> Result<()>,
    /// The causes that are right for the server's line and the client's; none where there must be no line.
    pub(crate) server: &'static [&'static str],
    pub(crate) client: &'static [&'static str],
    /// Who ends its own socket while it is established, which the kernel counts like a RST that was received.
    pub(crate) own_end: OwnEnd,
}

/// Who ends its own socket without a FIN.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OwnEnd {
    Nobody,
    Server,
    Client,
}

const KIND: Kind = Kind { name: "", run: refused, server: &[], client: &[], own_end: OwnEnd::Nobody };

pub(crate) const KINDS: &[Kind] = &[
    Kind { name: "refused", run: refused, server: &["refused"], client: &["refused"], ..KIND },
    Kind { name: "client closes", run: client_closes, ..KIND },
    Kind { name: "server closes", run: server_closes, ..KIND },
    Kind {
        name: "health check by the client",
        run: |pair, _| {
            pair.open(0)?;
            pair.client_resets()?;
            pair.server_is_reset()
        },
        server: &["no_request"],
        client: &["no_request"],
        own_end: OwnEnd::Client,
    },
    Kind {
        name: "no request, server resets",
        run: |pair, _| {
            pair.open(0)?;
            pair.server_resets()?;
            pair.client_is_reset()
        },
        server: &["no_request"],
        client: &["no_request"],
        own_end: OwnEnd::Server,
    },
    Kind {
        name: "never accepted",
        run: |pair, _| {
            pair.listener_closes()?;
            pair.client_is_reset()
        },
        server: &["killed"],
        client: &["no_request"],
        own_end: OwnEnd::Server,
    },
    Kind {
        name: "first request unread",
        run: |pair, _| close_unread(pair, 0),
        server: &["awaiting_response"],
        client: &["awaiting_response"],
        own_end: OwnEnd::Server,
    },
    Kind {
        name: "first request taken",
        run: |pair, _| reset_open_request(pair, 0),
        server: &["awaiting_response"],
        client: &["awaiting_response"],
        own_end: OwnEnd::Server,
    },
    Kind {
        name: "race, request unread",
        run: close_unread,
        server: &["keepalive_race"],
        client: &["keepalive_race"],
        own_end: OwnEnd::Server,
    },
    Kind {
        name: "race, FIN acknowledged",
        run: race_acknowledged_fin,
        server: &["keepalive_race"],
        client: &["keepalive_race"],
        ..KIND
    },
    Kind {
        name: "race, FIN just sent",
        run: race_fresh_fin,
        server: &["keepalive_race"],
        client: &["keepalive_race"],
        ..KIND
    },
    Kind {
        name: "next request taken",
        run: reset_open_request,
        server: &["awaiting_response"],
        // All that the client can know: it was reset right behind a request on a connection that had served before.
        client: &["keepalive_race"],
        own_end: OwnEnd::Server,
    },
    Kind {
        name: "server resets idle",
        run: |pair, exchanges| {
            pair.open(exchanges)?;
            pair.server_resets()?;
            pair.client_is_reset()
        },
        server: &["after_response"],
        client: &["after_response"],
        own_end: OwnEnd::Server,
    },
    Kind {
        name: "response unread",
        run: response_unread,
        // It depends on whether the client's kernel acknowledged the response before it reset.
        server: &["after_response", "client_abort"],
        client: &["client_abort"],
        own_end: OwnEnd::Client,
    },
    Kind {
        name: "response to nobody",
        run: response_to_nobody,
        server: &["client_abort"],
        client: &["client_abort"],
        ..KIND
    },
    Kind {
        name: "client resets open request",
        run: client_resets_open_request,
        server: &["client_abort"],
        client: &["client_abort"],
        own_end: OwnEnd::Client,
    },
    Kind {
        name: "server forgets",
        run: server_forgets,
        server: &["stale_connection"],
        client: &["keepalive_race"],
        own_end: OwnEnd::Server,
    },
];

fn refused(pair: &mut Pair, _: usize) -> Result<()> {
    pair.refused()
}

fn client_closes(pair: &mut Pair, exchanges: usize) -> Result<()> {
    pair.open(exchanges)?;
    pair.client_closes();
    pair.server_reads_end()?;
    pair.server_closes();
    Ok(())
}

fn server_closes(pair: &mut Pair, exchanges: usize) -> Result<()> {
    pair.open(exchanges)?;
    pair.server_closes();
    pair.client_reads_end()?;
    pair.client_closes();
    Ok(())
}

fn close_unread(pair: &mut Pair, exchanges: usize) -> Result<()> {
    pair.open(exchanges)?;
    pair.client_sends()?;
    pair.server_has_unread()?;
    pair.server_closes();
    pair.client_is_reset()
}

fn reset_open_request(pair: &mut Pair, exchanges: usize) -> Result<()> {
    pair.open(exchanges)?;
    pair.client_sends()?;
    pair.server_reads()?;
    pair.server_resets()?;
    pair.client_is_reset()
}

fn race_acknowledged_fin(pair: &mut Pair, exchanges: usize) -> Result<()> {
    pair.open(exchanges)?;
    pair.server_closes();
    pair.server_waits_for_fin()?;
    pair.client_sends()?;
    pair.client_is_reset()
}

/// Whether the FIN has arrived, and is acknowledged, when the request leaves, is left to chance.
fn race_fresh_fin(pair: &mut Pair, exchanges: usize) -> Result<()> {
    pair.open(exchanges)?;
    pair.server_closes();
    pair.client_sends()?;
    pair.client_is_reset()
}

fn response_unread(pair: &mut Pair, exchanges: usize) -> Result<()> {
    pair.open(exchanges)?;
    pair.client_sends()?;
    pair.server_reads()?;
    pair.server_sends()?;
    pair.client_has_unread()?;
    pair.client_closes();
    pair.server_is_reset()
}

fn response_to_nobody(pair: &mut Pair, exchanges: usize) -> Result<()> {
    pair.open(exchanges)?;
    pair.client_sends()?;
    pair.client_closes();
    pair.client_waits_for_fin()?;
    pair.server_reads()?;
    pair.server_sends()?;
    pair.server_is_reset()
}

fn client_resets_open_request(pair: &mut Pair, exchanges: usize) -> Result<()> {
    pair.open(exchanges)?;
    pair.client_sends()?;
    pair.server_has_unread()?;
    pair.client_resets()?;
    pair.server_is_reset()
}

fn server_forgets(pair: &mut Pair, exchanges: usize) -> Result<()> {
    pair.open(exchanges)?;
    pair.server_vanishes()?;
    pair.client_sends()?;
    pair.client_is_reset()
}
