//! The bounded set of servers that become labels.

use std::net::SocketAddr;

use hashbrown::{HashMap, hash_map::Entry};
use tracer_core::model::Role;

/// The label of every server beyond the limit.
pub(super) const OTHER: &str = "other";

/// The label where the server end cannot be told.
pub(super) const UNKNOWN: &str = "unknown";

/// Hands out `server` labels for at most `limit` pairs of role and server.
#[derive(Debug)]
pub(super) struct Servers {
    known: HashMap<(Role, SocketAddr), String>,
    limit: usize,
}

/// A label for a server.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Label<'a> {
    /// The label's value.
    pub(super) value: &'a str,
    /// Seen for the first time.
    pub(super) first: bool,
    /// The server had to be counted as [`OTHER`].
    pub(super) overflow: bool,
}

impl Servers {
    /// No server is known yet.
    #[must_use]
    pub(super) fn new(limit: usize) -> Self {
        Self { known: HashMap::new(), limit }
    }

    /// The label for a server.
    pub(super) fn label(&mut self, role: Option<Role>, server: Option<SocketAddr>) -> Label<'_> {
        let Some((role, server)) = role.zip(server) else {
            return Label { value: UNKNOWN, first: false, overflow: false };
        };
        let full = self.known.len() >= self.limit;
        match self.known.entry((role, server)) {
            Entry::Occupied(known) => Label { value: known.into_mut(), first: false, overflow: false },
            Entry::Vacant(_) if full => Label { value: OTHER, first: false, overflow: true },
            Entry::Vacant(new) => {
                Label { value: new.insert(server.to_string()), first: true, overflow: false }
            }
        }
    }

    /// The label of a server that has one of its own.
    pub(super) fn own_label(&self, role: Role, server: SocketAddr) -> Option<&str> {
        self.known.get(&(role, server)).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_beyond_the_limit_share_one_label_and_known_ones_keep_theirs() {
        let mut servers = Servers::new(2);
        let server = |port| Some(SocketAddr::from(([10, 0, 0, 1], port)));
        for (role, port, value, overflow) in [
            (Role::Server, 80, "10.0.0.1:80", false),
            (Role::Client, 80, "10.0.0.1:80", false),
            (Role::Server, 81, OTHER, true),
            (Role::Server, 80, "10.0.0.1:80", false),
        ] {
            let label = servers.label(Some(role), server(port));
            assert_eq!((label.value, label.overflow), (value, overflow));
        }
        assert_eq!(servers.label(None, None).value, UNKNOWN);
    }
}
