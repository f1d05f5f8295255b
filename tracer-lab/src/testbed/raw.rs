//! Segments that no TCP of ours would send.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use etherparse::TcpHeader;
use socket2::{Domain, Protocol, Socket, Type};

use crate::testbed::host::Host;

const WINDOW: u16 = 1024;
/// The option by which MPTCP joins a connection: its kind and length, subtype `MP_JOIN`, then an address id, a token
/// and a nonce (RFC 8684, section 3.2).
const MP_JOIN: [u8; 12] = [30, 12, 0x10, 1, 0xba, 0xd0, 0xba, 0xd0, 1, 2, 3, 4];

/// A segment to be sent from `host`, whose address `from` has.
pub(crate) struct Raw<'net> {
    pub(crate) host: &'net Host,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) sequence: u32,
}

impl Raw<'_> {
    /// Payload. Unlike a TCP socket's it is in the packet's own memory.
    pub(crate) fn payload(self, acknowledged: u32, payload: &[u8]) -> Result<()> {
        let mut header = self.header();
        header.ack = true;
        header.psh = true;
        header.acknowledgment_number = acknowledged;
        self.send(header, payload)
    }

    /// A bare acknowledgement.
    pub(crate) fn acknowledgement(self, acknowledged: u32) -> Result<()> {
        let mut header = self.header();
        header.ack = true;
        header.acknowledgment_number = acknowledged;
        self.send(header, b"")
    }

    /// The answer to a SYN with this sequence number before it.
    pub(crate) fn syn_ack(self, acknowledged: u32) -> Result<()> {
        let mut header = self.header();
        header.syn = true;
        header.ack = true;
        header.acknowledgment_number = acknowledged;
        self.send(header, b"")
    }

    /// A RST without an acknowledgement, as a middlebox sends it.
    pub(crate) fn rst(self) -> Result<()> {
        let mut header = self.header();
        header.rst = true;
        header.window_size = 0;
        self.send(header, b"")
    }

    /// A SYN that joins an MPTCP connection which nobody has.
    pub(crate) fn mptcp_join(self) -> Result<()> {
        let mut header = self.header();
        header.syn = true;
        header.set_options_raw(&MP_JOIN)?;
        self.send(header, b"")
    }

    fn header(&self) -> TcpHeader {
        TcpHeader::new(self.from.port(), self.to.port(), self.sequence, WINDOW)
    }

    fn send(self, mut header: TcpHeader, payload: &[u8]) -> Result<()> {
        let Self { host, from, to, .. } = self;
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
}
