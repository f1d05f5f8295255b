//! The sequence numbers of connections, read from what passes the router: what a segment must say that no TCP of ours
//! would send.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{ErrorKind, Read as _};
use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use nix::libc::{ETH_P_ALL, SOCK_RAW};
use socket2::{Domain, Protocol, Socket, Type};

use crate::testbed::capture::{FIN, SYN, Segment, segment_of};
use crate::testbed::host::Host;

/// As long as any packet.
const LONGEST: usize = 65_536;

/// A packet socket on the router, which sees what comes before it is held there.
pub(crate) struct Watch {
    socket: Socket,
    /// What each end says next.
    next: RefCell<HashMap<(SocketAddr, SocketAddr), u32>>,
}

impl Watch {
    /// Sees what passes from now on.
    pub(crate) fn start(router: &Host) -> Result<Self> {
        // The kernel wants the protocol in network byte order.
        let protocol = i32::from(u16::try_from(ETH_P_ALL)?.to_be());
        let open = || {
            let socket = Socket::new(Domain::PACKET, Type::from(SOCK_RAW), Some(Protocol::from(protocol)))?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        let socket = router.enter(open).context("no packet socket on the router")?;
        Ok(Self { socket, next: RefCell::default() })
    }

    /// The sequence number that `from` says next to `to`.
    pub(crate) fn next(&self, from: SocketAddr, to: SocketAddr) -> Result<u32> {
        let mut frame = vec![0; LONGEST];
        let mut next = self.next.borrow_mut();
        loop {
            match (&self.socket).read(&mut frame) {
                Ok(length) => {
                    if let Some(segment) = segment_of(&frame[..length]) {
                        advance(&mut next, &segment);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        next.get(&(from, to)).copied().with_context(|| format!("{from} has said nothing to {to}"))
    }
}

fn advance(next: &mut HashMap<(SocketAddr, SocketAddr), u32>, segment: &Segment) {
    let counted = u32::from(segment.has(SYN)) + u32::from(segment.has(FIN));
    let end = segment.sequence.wrapping_add(segment.payload).wrapping_add(counted);
    let known = next.entry((segment.source, segment.destination)).or_insert(end);
    // Each packet is seen on both of the router's links, and may come late.
    if segment.has(SYN) || end.wrapping_sub(*known).cast_signed() > 0 {
        *known = end;
    }
}
