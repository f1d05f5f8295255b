//! The hosts of one scenario: a client and a server on two sides of a router, which can hold what passes through it.
//!
//! ```text
//! server  ─┐
//!          ├─ router ─ client          server and standby own the same address; the router decides who gets it
//! standby ─┘
//! ```
//! The router has no sockets, so delays and route changes there are seen by the hosts exactly as a network's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::Result;

use crate::testbed::host::{Host, wire};
use crate::testbed::wait::until;
use crate::testbed::watch::Watch;

/// The ports of servers that are nobody else's at the moment: the daemon knows servers, not namespaces, and must not
/// take the closes of one scenario for the timeout of another's server.
const PORTS: std::ops::Range<u16> = 10_000..30_000;
/// RFC 863: datagrams to it are nobody's.
const DISCARD: u16 = 9;
/// Bytes on the wire with the Ethernet header.
const FULL_FRAME: usize = 1514;
/// Smaller than any segment.
const SMALL_FRAME: usize = 63;

/// Which addresses a scenario runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4 sockets on both hosts.
    V4,
    /// IPv6 sockets on both hosts.
    V6,
    /// An IPv6 server socket that serves an IPv4 client: `::ffff:a.b.c.d`.
    Mapped,
}

/// A port that no other test on this host uses: the tracer's metrics know servers, not namespaces.
pub(crate) fn own_port() -> Result<u16> {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let given = GIVEN.fetch_add(1, Ordering::Relaxed) % 20;
    Ok(40_001 + u16::try_from(process::id() % 1000)? * 20 + given)
}

/// The namespaces of one scenario, deleted when dropped.
pub(crate) struct Network {
    pub(crate) client: Host,
    pub(crate) server: Host,
    pub(crate) standby: Host,
    router: Host,
    pub(crate) family: Family,
    /// The server's.
    pub(crate) port: u16,
}

impl Network {
    /// Builds the hosts and connects them; the server's port is its own.
    pub(crate) fn build(family: Family) -> Result<Self> {
        static BUILT: AtomicU16 = AtomicU16::new(0);
        let built = BUILT.fetch_add(1, Ordering::Relaxed) % (PORTS.end - PORTS.start);
        Self::build_for_port(family, PORTS.start + built)
    }

    /// The same with this port of the server.
    pub(crate) fn build_for_port(family: Family, port: u16) -> Result<Self> {
        let net = Self {
            client: Host::create("c")?,
            server: Host::create("s")?,
            standby: Host::create("s2")?,
            router: Host::create("r")?,
            family,
            port,
        };
        net.router.sysctl("net.ipv4.ip_forward", "1")?;
        net.router.sysctl("net.ipv6.conf.all.forwarding", "1")?;
        for (link, host) in [("c", &net.client), ("s", &net.server), ("s2", &net.standby)] {
            wire(host, &net.router, link)?;
        }
        net.router.ip("link set lo up
            link set c up
            link set s up
            link set s2 up
            address add 10.77.3.1/32 dev lo
            address add fd77:3::1/128 dev lo
            address add 10.77.2.254/24 dev c
            address add fd77:2::fe/64 dev c nodad
            address add 10.77.1.254/32 dev s
            address add fd77:1::fe/128 dev s nodad
            address add 10.77.1.254/32 dev s2
            address add fd77:1::fe/128 dev s2 nodad
            route add 10.77.1.1/32 dev s
            route add fd77:1::1/128 dev s")?;
        for (subnet, host) in [(2, &net.client), (1, &net.server), (1, &net.standby)] {
            host.ip(&format!(
                "link set lo up
                link set eth0 up
                address add 10.77.{subnet}.1/24 dev eth0
                address add fd77:{subnet}::1/64 dev eth0 nodad
                route add default via 10.77.{subnet}.254
                route add default via fd77:{subnet}::fe"
            ))?;
        }
        // However slow the machine, a request that crosses a close is sent once.
        net.client.sysctl("net.ipv4.tcp_early_retrans", "0")?;
        net.client.ip("route change default via 10.77.2.254 rto_min 5s
            route change default via fd77:2::fe rto_min 5s")?;
        Ok(net)
    }

    /// Where clients reach the server (and, after a failover, the standby).
    pub(crate) fn server_endpoint(&self) -> SocketAddr {
        SocketAddr::new(self.address(1), self.port)
    }

    /// The client host's address, with a port of the kernel's choice.
    pub(crate) fn client_address(&self) -> SocketAddr {
        SocketAddr::new(self.address(2), 0)
    }

    /// A port of the router that nobody serves, on addresses that every host has already spoken on.
    pub(crate) fn nowhere(&self) -> SocketAddr {
        SocketAddr::new(self.address(3), DISCARD)
    }

    fn address(&self, subnet: u8) -> IpAddr {
        match self.family {
            Family::V4 | Family::Mapped => Ipv4Addr::new(10, 77, subnet, 1).into(),
            Family::V6 => Ipv6Addr::new(0xfd77, subnet.into(), 0, 0, 0, 0, 0, 1).into(),
        }
    }

    /// The server's address moves to the standby host, which knows nothing of the server's connections.
    pub(crate) fn fail_over(&self) -> Result<()> {
        self.router.ip("route replace 10.77.1.1/32 dev s2\nroute replace fd77:1::1/128 dev s2")
    }

    /// What is on its way to the server is lost until the address moves.
    pub(crate) fn lose_packets_to_server(&self) -> Result<()> {
        self.router.ip("route replace blackhole 10.77.1.1/32\nroute replace blackhole fd77:1::1/128")
    }

    /// Two addresses that no host has: the router drops what is for 10.77.4.1, and says of 10.77.5.1 that there is no
    /// way to it.
    pub(crate) fn dead_ends(&self) -> Result<()> {
        // Each time at once.
        self.router.sysctl("net.ipv4.icmp_ratelimit", "0")?;
        self.router.ip("route add blackhole 10.77.4.1/32\nroute add unreachable 10.77.5.1/32")
    }

    /// From now on what is on its way to the client stays on the wire, in order, until released (or for 6 s).
    ///
    /// A token bucket that holds one full frame and fills at 10 bytes per second: one full frame empties it.
    pub(crate) fn hold_packets_to_client(&self) -> Result<()> {
        until("the router to hold packets", || {
            self.router.tc("qdisc replace dev c root tbf rate 80bit burst 1514 limit 1mb")?;
            self.datagram_to_client(FULL_FRAME)?;
            if self.router.tc("-statistics qdisc show dev c")?.contains("backlog 0b 0p") {
                return Ok(Some(()));
            }
            // Another packet was faster, and now the full frame would have to wait for hours.
            self.router.tc("qdisc delete dev c root")?;
            Ok(None)
        })
    }

    /// Lets a FIN that is held arrive, and nothing that is behind it.
    pub(crate) fn release_fin_to_client(&self) -> Result<()> {
        // A FIN takes 66 bytes on IPv4 and 86 on IPv6, a bare RST 54 and 74: both together do not fit.
        self.router.tc("qdisc change dev c root tbf rate 80bit burst 100 limit 1mb")?;
        self.datagram_to_client(SMALL_FRAME)
    }

    /// Lets what is held arrive.
    pub(crate) fn release_packets_to_client(&self) -> Result<()> {
        self.router.tc("qdisc change dev c root tbf rate 1gbit burst 1mb limit 1mb")?;
        // The bucket is looked at again when the next packet comes.
        self.datagram_to_client(SMALL_FRAME)
    }

    /// A datagram on the addresses of the scenario, so that no neighbour has to be found first.
    fn datagram_to_client(&self, frame: usize) -> Result<()> {
        let client = SocketAddr::new(self.client_address().ip(), DISCARD);
        let headers = if client.is_ipv4() { 14 + 20 + 8 } else { 14 + 40 + 8 };
        self.router.datagram(client, &vec![0; frame - headers])
    }

    /// The sequence numbers of what passes the router from now on.
    pub(crate) fn watch(&self) -> Result<Watch> {
        Watch::start(&self.router)
    }

    /// Nobody answers for the server's address any more on the client's own network.
    pub(crate) fn client_finds_no_neighbour(&self) -> Result<()> {
        for family in ["ipv4", "ipv6"] {
            self.client.sysctl(&format!("net.{family}.neigh.eth0.retrans_time_ms"), "50")?;
        }
        self.client.ip("route add 10.77.1.1/32 dev eth0\nroute add fd77:1::1/128 dev eth0")
    }

    /// The client's kernel sends again as soon as others do.
    pub(crate) fn client_sends_again_soon(&self) -> Result<()> {
        self.client.ip("route change default via 10.77.2.254 rto_min 200ms
            route change default via fd77:2::fe rto_min 200ms")
    }

    /// Cuts all links: what the hosts' kernels still say while the scenario is cleaned up reaches nobody.
    pub(crate) fn cut(&self) -> Result<()> {
        self.router.ip("link set c down\nlink set s down\nlink set s2 down")
    }
}
