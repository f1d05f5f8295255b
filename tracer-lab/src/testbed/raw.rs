//! Segments that no TCP of ours would send.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use etherparse::TcpHeader;
use socket2::{Domain, Protocol, Socket, Type};

use crate::testbed::host::Host;

/// Sends payload with arbitrary sequence numbers from `host`. Unlike a TCP socket's it is in the packet's own memory.
pub(crate) fn send_payload(host: &Host, from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Result<()> {
    let mut header = TcpHeader::new(from.port(), to.port(), 1, 1024);
    header.ack = true;
    header.psh = true;
    header.checksum = match (from, to) {
        (SocketAddr::V4(from), SocketAddr::V4(to)) => {
            header.calc_checksum_ipv4_raw(from.ip().octets(), to.ip().octets(), payload)?
        }
        (SocketAddr::V6(from), SocketAddr::V6(to)) => {
            header.calc_checksum_ipv6_raw(from.ip().octets(), to.ip().octets(), payload)?
        }
        _ => bail!("{from} and {to} are of two families"),
    };
    let segment = [header.to_bytes().as_slice(), payload].concat();
    host.enter(|| {
        let socket = Socket::new(Domain::for_address(to), Type::RAW, Some(Protocol::TCP))?;
        // A raw IPv6 socket refuses a port.
        let sent = socket.send_to(&segment, &SocketAddr::new(to.ip(), 0).into());
        sent.map(drop).context("a raw segment cannot be sent")
    })
}
