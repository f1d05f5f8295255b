//! Which server a connection belongs to, and which servers are selected.

use std::net::SocketAddr;

use super::{Flow, Role};

/// A server: its address and what this host is to it, and the namespace where the address means something only there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Server {
    /// The server's end.
    pub(crate) endpoint: SocketAddr,
    /// What this host is.
    pub(crate) role: Role,
    /// Inode number of the network namespace, for loopback addresses.
    pub(crate) netns: Option<u32>,
}

impl Server {
    /// The server of a connection.
    pub(crate) fn of(role: Role, flow: &Flow) -> Self {
        let endpoint = match role {
            Role::Server => flow.local,
            Role::Client => flow.remote,
        };
        Self { role, endpoint, netns: endpoint.ip().is_loopback().then_some(flow.netns) }
    }

    /// The same server, seen from the other ends of its connections.
    pub(crate) fn other_end(&self) -> Self {
        Self { role: self.role.other(), ..*self }
    }
}

/// The ports of the servers whose connections are selected; empty means all.
///
/// A connection is selected if the port of its server end is listed. While it is not known which end that is, either
/// port may be the server's, so one of them is enough. The kernel side filters by the same rule before it writes a
/// record.
#[derive(Clone, Debug, Default)]
pub struct ServerPorts(Vec<u16>);

impl ServerPorts {
    /// Those that are listed; all if none is.
    #[must_use]
    pub fn new(ports: Vec<u16>) -> Self {
        Self(ports)
    }

    /// Whether a connection is selected.
    pub(crate) fn include(&self, flow: &Flow, role: Option<Role>) -> bool {
        let listed = |end: SocketAddr| self.0.contains(&end.port());
        self.0.is_empty()
            || match flow.server(role) {
                Some(server) => listed(server),
                None => listed(flow.local) || listed(flow.remote),
            }
    }
}

/// The tracer's own HTTP server: who scrapes it is not what it is there to watch.
#[derive(Clone, Copy, Debug)]
pub struct OwnServer {
    /// Inode number of its network namespace.
    pub netns: u32,
    /// Where it listens.
    pub listens: SocketAddr,
}

impl OwnServer {
    /// Whether one end of a connection is this server.
    pub(crate) fn serves(&self, flow: &Flow) -> bool {
        let (ip, port) = (self.listens.ip().to_canonical(), self.listens.port());
        let is_here = |end: SocketAddr| end.port() == port && (ip.is_unspecified() || end.ip() == ip);
        // Whoever connects to an address of the host it runs on does so from there.
        let same_host = flow.remote.ip().is_loopback() || flow.remote.ip() == flow.local.ip();
        flow.netns == self.netns && (is_here(flow.local) || same_host && is_here(flow.remote))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_server_is_known_at_both_ends_and_no_other_is_taken_for_it() {
        let from = |netns, local: &str, remote: &str| Flow {
            netns,
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
        };
        let (here, there) = (1, 2);
        let loopback = from(here, "127.0.0.1:8000", "127.0.0.1:40000");
        let client = from(here, "127.0.0.1:40000", "127.0.0.1:8000");
        let scraped = from(here, "10.0.0.1:8000", "10.0.0.2:40000");
        let on_itself = from(here, "10.0.0.1:40000", "10.0.0.1:8000");
        let container = from(there, "127.0.0.1:8000", "127.0.0.1:40000");
        let elsewhere = from(here, "10.0.0.1:40000", "10.0.0.2:8000");
        let other_port = from(here, "127.0.0.1:8001", "127.0.0.1:40000");
        let ipv6 = from(here, "[2001:db8::1]:8000", "[2001:db8::2]:40000");
        for (listens, own) in [
            ("127.0.0.1:8000", &[loopback, client][..]),
            ("[::ffff:127.0.0.1]:8000", &[loopback, client]),
            ("10.0.0.1:8000", &[scraped, on_itself]),
            ("0.0.0.0:8000", &[loopback, client, scraped, on_itself, ipv6]),
            ("[::]:8000", &[loopback, client, scraped, on_itself, ipv6]),
            ("[2001:db8::1]:8000", &[ipv6]),
        ] {
            let server = OwnServer { netns: here, listens: listens.parse().unwrap() };
            for flow in [loopback, client, scraped, on_itself, container, elsewhere, other_port, ipv6] {
                assert_eq!(server.serves(&flow), own.contains(&flow), "{listens}: {flow:?}");
            }
        }
    }

    #[test]
    fn the_server_ends_port_decides_and_either_while_it_is_not_known() {
        let at = |port| SocketAddr::from(([10, 0, 0, 1], port));
        let flow = Flow { netns: 1, local: at(80), remote: at(40_000) };
        for (ports, role, included) in [
            (vec![], None, true),
            (vec![80], Some(Role::Server), true),
            (vec![443, 80], Some(Role::Server), true),
            (vec![40_000], Some(Role::Server), false),
            (vec![80], Some(Role::Client), false),
            (vec![40_000], Some(Role::Client), true),
            (vec![80], None, true),
            (vec![40_000], None, true),
            (vec![443], None, false),
        ] {
            assert_eq!(ServerPorts::new(ports.clone()).include(&flow, role), included, "{ports:?}, {role:?}");
        }
    }
}
