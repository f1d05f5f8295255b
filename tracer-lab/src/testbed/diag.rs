//! Asks a host's kernel for one TCP socket by its endpoints, orphans and time-wait sockets included.
//!
//! `NETLINK_SOCK_DIAG`, see `man 7 sock_diag`: unlike `/proc/net/tcp` it costs microseconds, so that it can be asked
//! between two steps of a race.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd};

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

use crate::testbed::host::Host;

/// `SOCK_DIAG_BY_FAMILY` of `linux/sock_diag.h`.
const BY_FAMILY: u16 = 20;
/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// `struct nlmsghdr` and `struct inet_diag_req_v2` of `linux/inet_diag.h`.
const QUESTION: usize = HEADER + 56;
/// `idiag_timer` of a time-wait socket.
const TIME_WAIT_TIMER: u8 = 3;

/// TCP states, as far as scenarios wait for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Established,
    SynSent,
    SynReceived,
    FinWait1,
    /// A whole socket that waits for the other side's FIN.
    FinWait2,
    /// A time-wait socket that still waits for the other side's FIN.
    TimeWaitForFin,
    /// A time-wait socket that has seen both FINs.
    TimeWait,
    CloseWait,
    /// Any other: nothing waits for them.
    Other,
}

/// A socket as its kernel sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) state: State,
    /// Bytes sent and not yet acknowledged.
    pub(crate) unacknowledged: u32,
    /// How often it has sent the oldest of them again.
    pub(crate) retransmissions: u8,
}

/// A way to ask one host.
pub(crate) struct Diag(OwnedFd);

impl Diag {
    pub(crate) fn open(host: &Host) -> Result<Self> {
        let open = || {
            let protocol = SockProtocol::NetlinkSockDiag;
            Ok(socket(AddressFamily::Netlink, SockType::Datagram, SockFlag::SOCK_CLOEXEC, protocol)?)
        };
        host.enter(open).map(Self).context("no netlink socket for sock_diag")
    }

    /// The connected or time-wait socket between these endpoints, if the kernel has one.
    pub(crate) fn socket(&self, local: SocketAddr, remote: SocketAddr) -> Result<Option<Status>> {
        send(self.0.as_raw_fd(), &question(local, remote), MsgFlags::empty())
            .context("sock_diag cannot be asked")?;
        let mut reply = [0; 1024];
        let length =
            recv(self.0.as_raw_fd(), &mut reply, MsgFlags::empty()).context("sock_diag does not answer")?;
        answer(&reply[..length])
    }
}

fn question(local: SocketAddr, remote: SocketAddr) -> [u8; QUESTION] {
    let family = if local.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let mut question = [0; QUESTION];
    let mut put = |at: usize, bytes: &[u8]| question[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &u32::to_ne_bytes(QUESTION.try_into().unwrap_or_default()));
    put(4, &BY_FAMILY.to_ne_bytes());
    put(6, &u16::to_ne_bytes(libc::NLM_F_REQUEST.try_into().unwrap_or_default()));
    put(HEADER, &[family.try_into().unwrap_or_default(), libc::IPPROTO_TCP.try_into().unwrap_or_default()]);
    // All states.
    put(HEADER + 4, &[0xff; 4]);
    put(HEADER + 8, &local.port().to_be_bytes());
    put(HEADER + 10, &remote.port().to_be_bytes());
    for (at, address) in [(HEADER + 12, local.ip()), (HEADER + 28, remote.ip())] {
        match address {
            IpAddr::V4(address) => put(at, &address.octets()),
            IpAddr::V6(address) => put(at, &address.octets()),
        }
    }
    // No cookie: any socket will do.
    put(HEADER + 48, &[0xff; 8]);
    question
}

/// Reads a `struct nlmsghdr` with a `struct inet_diag_msg` or an error.
fn answer(reply: &[u8]) -> Result<Option<Status>> {
    let word =
        |at: usize| reply.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes);
    let kind = reply.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    match (kind, word(HEADER)) {
        (Some(BY_FAMILY), Some(_)) => {}
        (_, Some(error)) => match Errno::from_raw(error.wrapping_neg().cast_signed()) {
            Errno::ENOENT => return Ok(None),
            error => bail!("sock_diag cannot look up a socket: {error}"),
        },
        _ => bail!("sock_diag gives a short answer"),
    }
    let (state, timer, retransmissions) = (reply[HEADER + 1], reply[HEADER + 2], reply[HEADER + 3]);
    let state = match (state, timer) {
        (1, _) => State::Established,
        (2, _) => State::SynSent,
        (3 | 12, _) => State::SynReceived,
        (4, _) => State::FinWait1,
        (5, TIME_WAIT_TIMER) => State::TimeWaitForFin,
        (5, _) => State::FinWait2,
        (6, _) => State::TimeWait,
        (8, _) => State::CloseWait,
        // Where there is no such connection, the kernel offers the listener.
        (10, _) => return Ok(None),
        _ => State::Other,
    };
    // Past family, state, timer, retransmissions, the endpoints, the timer's time and the receive queue.
    let unacknowledged = word(HEADER + 4 + 48 + 4 + 4).context("sock_diag gives a short answer")?;
    Ok(Some(Status { state, unacknowledged, retransmissions }))
}
