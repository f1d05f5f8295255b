//! What can happen to a connection of the soak, and what the tracer must say of it.

use anyhow::Result;

use crate::soak::pair::Pair;
use crate::soak::parts;

/// A kind of connection.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// What happens, on a connection that is not open yet. The number is that of the exchanges before the last, at
    /// least one.
    pub(crate) run: fn(&mut Pair, usize) -> Result<()>,
    /// What ends it.
    pub(crate) ended: Ended,
    /// The causes that are right for the server's line and the client's; none where there must be no line.
    pub(crate) server: &'static [&'static str],
    pub(crate) client: &'static [&'static str],
    /// What became of the last request.
    pub(crate) request: Request,
    /// Who ends its own socket while it is established, which the kernel counts like a RST that was received.
    pub(crate) own_end: OwnEnd,
    /// A RST ends a socket that has closed already, which the kernel does not count.
    pub(crate) uncounted: bool,
}

/// What ends a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Rst,
    FinOfServer,
    FinOfClient,
}

/// What the server's application got of the last request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// Nothing, as the kernels' numbers prove.
    Untouched,
    /// Some of it, or all.
    Read,
    /// Nothing, which nobody can prove, or there was none.
    Unproven,
}

/// Who ends its own socket without a FIN.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OwnEnd {
    Nobody,
    Server,
    Client,
}

const KIND: Kind = Kind {
    name: "",
    run: |pair, _| pair.refused(),
    ended: Ended::Rst,
    server: &[],
    client: &[],
    request: Request::Unproven,
    own_end: OwnEnd::Nobody,
    uncounted: false,
};
/// A request crosses the close of an idle connection, and is reset.
const RACE: Kind = Kind { request: Request::Untouched, ..both(&["keepalive_race"]) };
/// The same where the server throws it away.
const LINGERING: Kind = Kind { ended: Ended::FinOfServer, request: Request::Read, ..RACE };
/// The server takes a request, and ends the connection before it has responded.
const TAKEN: Kind = Kind { request: Request::Read, ..both(&["awaiting_response"]) };

/// Both ends come to one of these causes.
const fn both(causes: &'static [&'static str]) -> Kind {
    Kind { server: causes, client: causes, ..KIND }
}

pub(crate) const KINDS: &[Kind] = &[
    Kind { name: "refused", ..both(&["refused"]) },
    Kind { name: "client closes", run: parts::client_closes, ..KIND },
    Kind { name: "server closes", run: parts::server_closes, ..KIND },
    Kind { name: "last word, client closes", run: parts::last_word, ..KIND },
    Kind { name: "half-close answered", run: parts::half_close_answered, ..KIND },
    Kind {
        name: "health check by the client",
        run: parts::health_check,
        own_end: OwnEnd::Client,
        ..both(&["no_request"])
    },
    Kind {
        name: "no request, server resets",
        run: |pair, _| parts::server_resets_idle(pair, 0),
        own_end: OwnEnd::Server,
        ..both(&["no_request"])
    },
    Kind { name: "never accepted", run: parts::never_accepted, own_end: OwnEnd::Server, ..both(&["killed"]) },
    Kind {
        name: "first request unread",
        run: |pair, _| parts::close_unread(pair, 0),
        request: Request::Untouched,
        own_end: OwnEnd::Server,
        // The server closed with a request of a connection that had not idled.
        ..both(&["never_read", "keepalive_race"])
    },
    Kind {
        name: "first request taken",
        run: |pair, _| parts::reset_open_request(pair, 0),
        own_end: OwnEnd::Server,
        ..TAKEN
    },
    Kind { name: "race, request unread", run: parts::close_unread, own_end: OwnEnd::Server, ..RACE },
    Kind { name: "race, FIN acknowledged", run: parts::race_acknowledged_fin, ..RACE },
    Kind { name: "race, FIN just sent", run: parts::race_fresh_fin, ..RACE },
    Kind { name: "race, never used before", run: parts::race_of_pooled, ..RACE },
    Kind { name: "race, thrown away, FIN sent", run: parts::lingering_close, ..LINGERING },
    Kind { name: "race, thrown away, FIN there", run: parts::lingering_close_unprocessed, ..LINGERING },
    Kind { name: "next request taken", run: parts::reset_open_request, own_end: OwnEnd::Server, ..TAKEN },
    Kind { name: "next request taken, FIN", run: parts::close_taken, ended: Ended::FinOfServer, ..TAKEN },
    Kind { name: "half-close dropped", run: parts::half_close_dropped, ended: Ended::FinOfServer, ..TAKEN },
    Kind {
        name: "half-close reset",
        run: parts::half_close_reset,
        own_end: OwnEnd::Server,
        uncounted: true,
        ..TAKEN
    },
    Kind { name: "upload cut", run: parts::upload_cut, own_end: OwnEnd::Server, ..TAKEN },
    Kind {
        name: "upload answered early",
        run: parts::upload_answered,
        request: Request::Read,
        own_end: OwnEnd::Server,
        ..both(&["early_close"])
    },
    Kind {
        name: "server resets idle",
        run: parts::server_resets_idle,
        own_end: OwnEnd::Server,
        // The server's kernel may not know yet that the response has arrived.
        ..both(&["after_response", "response_cut"])
    },
    Kind {
        name: "response unread",
        run: parts::response_unread,
        request: Request::Read,
        own_end: OwnEnd::Client,
        ..both(&["client_abort"])
    },
    Kind {
        name: "response to nobody",
        run: parts::response_to_nobody,
        request: Request::Read,
        ..both(&["client_abort"])
    },
    Kind {
        name: "client gives up",
        run: parts::client_gives_up,
        ended: Ended::FinOfClient,
        request: Request::Read,
        ..both(&["client_abort"])
    },
    Kind {
        name: "client resets open request",
        run: parts::client_resets_open_request,
        own_end: OwnEnd::Client,
        ..both(&["client_abort"])
    },
    Kind { name: "alert to closed", run: parts::alert_to_closed, ..both(&["unknown"]) },
    Kind {
        name: "server forgets",
        run: parts::server_forgets,
        server: &["stale_connection"],
        client: &["stale_connection", "reset_on_reuse"],
        own_end: OwnEnd::Server,
        ..KIND
    },
];
