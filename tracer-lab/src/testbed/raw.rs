//! Segments that no TCP of ours would send.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use etherparse::TcpHeader;
use socket2::{Domain, Protocol, Socket, Type};

use crate::testbed::host::Host;

const WINDOW: u16 = 1024;

/// Sends payload with arbitrary sequence numbers from `host`. Unlike a TCP socket's it is in the packet's own memory.
pub(crate) fn send_payload(host: &Host, from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Result<()> {
    let mut header = TcpHeader::new(from.port(), to.port(), 1, WINDOW);
    header.ack = true;
    header.psh = true;
    send(host, from, to, header, payload)
}

/// Sends a SYN-ACK from `host` that acknowledges this sequence number.
pub(crate) fn send_syn_ack(host: &Host, from: SocketAddr, to: SocketAddr, acknowledged: u32) -> Result<()> {
    let mut header = TcpHeader::new(from.port(), to.port(), 1, WINDOW);
    header.syn = true;
    header.ack = true;
    header.acknowledgment_number = acknowledged;
    send(host, from, to, header, b"")
}

fn send(host: &Host, from: SocketAddr, to: SocketAddr, mut header: TcpHeader, payload: &[u8]) -> Result<()> {
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
