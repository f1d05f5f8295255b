//! The bounded set of servers that become labels.

use std::{fmt, net::SocketAddr};

use hashbrown::HashSet;
use tracer_core::model::Role;

/// The value of a `server` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Server {
    /// One that has a label of its own.
    Known(SocketAddr),
    /// One beyond the limit: they share a label.
    Other,
    /// The server end cannot be told.
    Unknown,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(server) => server.fmt(f),
            Self::Other => f.write_str("other"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// At most `limit` pairs of role and server that have a label of their own.
#[derive(Debug)]
pub(crate) struct Servers {
    known: HashSet<(Role, SocketAddr)>,
    limit: usize,
}

/// A label, and whether this gave it out for the first time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Label {
    New(Server),
    Old(Server),
}

impl Servers {
    /// No server is known yet.
    pub(crate) fn new(limit: usize) -> Self {
        Self { known: HashSet::new(), limit }
    }

    /// The label for a server.
    pub(crate) fn label(&mut self, role: Role, server: SocketAddr) -> Label {
        if self.known.contains(&(role, server)) {
            return Label::Old(Server::Known(server));
        }
        if self.known.len() >= self.limit {
            return Label::Old(Server::Other);
        }
        self.known.insert((role, server));
        Label::New(Server::Known(server))
    }

    /// The label of a server that has one of its own.
    pub(crate) fn own_label(&self, role: Role, server: SocketAddr) -> Option<Server> {
        self.known.contains(&(role, server)).then_some(Server::Known(server))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_beyond_the_limit_share_one_label_and_known_ones_keep_theirs() {
        let mut servers = Servers::new(2);
        let server = |port| SocketAddr::from(([10, 0, 0, 1], port));
        for (role, port, label) in [
            (Role::Server, 80, Label::New(Server::Known(server(80)))),
            (Role::Client, 80, Label::New(Server::Known(server(80)))),
            (Role::Server, 81, Label::Old(Server::Other)),
            (Role::Server, 80, Label::Old(Server::Known(server(80)))),
        ] {
            assert_eq!(servers.label(role, server(port)), label);
        }
    }
}
