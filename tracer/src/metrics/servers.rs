//! The bounded set of servers that become labels.

use std::{collections::HashMap, net::SocketAddr};

use crate::event::Role;

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
pub(super) struct Label {
    /// The label's value.
    pub(super) value: String,
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
    pub(super) fn label(&mut self, role: Role, server: Option<SocketAddr>) -> Label {
        let Some(server) = server else {
            return Label { value: UNKNOWN.to_owned(), first: false, overflow: false };
        };
        if let Some(value) = self.known.get(&(role, server)) {
            return Label { value: value.clone(), first: false, overflow: false };
        }
        if self.known.len() >= self.limit {
            return Label { value: OTHER.to_owned(), first: false, overflow: true };
        }
        let value = server.to_string();
        self.known.insert((role, server), value.clone());
        Label { value, first: true, overflow: false }
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
        let mut label = |role, port| servers.label(role, server(port));
        assert_eq!(label(Role::Server, 80).value, "10.0.0.1:80");
        assert_eq!(label(Role::Client, 80).value, "10.0.0.1:80");
        assert!(label(Role::Server, 81).overflow);
        assert_eq!(label(Role::Server, 81).value, OTHER);
        assert!(!label(Role::Server, 80).overflow);
        assert_eq!(servers.label(Role::Unknown, None).value, UNKNOWN);
    }
}
