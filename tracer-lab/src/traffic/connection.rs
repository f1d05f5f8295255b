//! A keep-alive HTTP connection with both its ends in hand, so that a scenario can order every step.

use std::cell::Cell;
use std::net::{SocketAddr, TcpListener, TcpStream};

use anyhow::Context as _;
use anyhow::{Result, anyhow};
use nix::errno::Errno;
use socket2::SockRef;

use crate::testbed::diag::{Diag, State};
use crate::testbed::network::Network;
use crate::testbed::sockets::{accept, client, fast_client, listen, listen_multipath, multipath_client};
use crate::testbed::wait::until;
use crate::traffic::stream::{present, start_to_connect};

pub(super) const REQUEST_LEN: usize = request(0).len();
pub(super) const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
/// Connections that may wait to be accepted.
pub(super) const BACKLOG: i32 = 16;

/// The requests of a connection differ, so that one is not taken for another; all are of one length.
const fn request(number: u8) -> [u8; 50] {
    let mut text = *b"POST /lab/0?with=a&secret=in HTTP/1.1\r\nHost: a\r\n\r\n";
    text[10] += number;
    text
}

/// One connection through the network of a scenario.
pub(crate) struct Connection<'net> {
    pub(super) net: &'net Network,
    /// What a late segment meets depends on it.
    pub(super) listener: Option<TcpListener>,
    pub(super) client: Option<TcpStream>,
    pub(super) server: Option<TcpStream>,
    /// Sockets that are only there.
    pub(super) bystanders: Bystanders,
    pub(super) client_kernel: Diag,
    pub(super) server_kernel: Diag,
    /// Requests that were sent, and read.
    pub(super) requests: [Cell<u8>; 2],
    pub(crate) client_endpoint: SocketAddr,
    pub(crate) server_endpoint: SocketAddr,
    /// What the sockets reported to their applications in the end.
    pub(crate) client_errno: Option<Errno>,
    pub(crate) server_errno: Option<Errno>,
}

#[derive(Default)]
pub(super) struct Bystanders {
    pub(super) listeners: Vec<TcpListener>,
    pub(super) streams: Vec<TcpStream>,
}

/// How connections begin.
impl<'net> Connection<'net> {
    /// A client connects and the server accepts.
    pub(crate) fn open(net: &'net Network) -> Result<Self> {
        Self::open_from(net, net.client_address())
    }

    /// The same from a given address and port of the client.
    pub(crate) fn open_from(net: &'net Network, from: SocketAddr) -> Result<Self> {
        let mut connection = Self::unaccepted_from(net, from)?;
        connection.server = Some(accept(present(connection.listener.as_ref())?)?);
        Ok(connection)
    }

    /// A client connects and the server does not accept.
    pub(crate) fn unaccepted(net: &'net Network) -> Result<Self> {
        Self::unaccepted_from(net, net.client_address())
    }

    /// A client that offers MPTCP connects, and falls back to TCP.
    pub(crate) fn open_multipath(net: &'net Network) -> Result<Self> {
        let listener = listen(net, &net.server, BACKLOG)?;
        let client = multipath_client(net, net.client_address())?;
        let mut connection = Self { listener: Some(listener), ..Self::between(net, client)? };
        connection.client_connects().context("the client cannot connect")?;
        connection.server = Some(accept(present(connection.listener.as_ref())?)?);
        Ok(connection)
    }

    fn unaccepted_from(net: &'net Network, from: SocketAddr) -> Result<Self> {
        let listener = listen(net, &net.server, BACKLOG)?;
        let connection = Self { listener: Some(listener), ..Self::unconnected(net, from)? };
        connection.client_connects().context("the client cannot connect")?;
        Ok(connection)
    }

    /// A client connects where nobody listens, and learns why it cannot.
    pub(crate) fn failed(net: &'net Network) -> Result<Self> {
        let mut connection = Self::unconnected(net, net.client_address())?;
        let failure = connection.client_connects().err();
        let error = failure.ok_or_else(|| anyhow!("somebody accepts the connection"))?;
        let errno = error.downcast_ref().and_then(std::io::Error::raw_os_error);
        connection.client_errno = errno.map(Errno::from_raw);
        Ok(connection)
    }

    /// A server listens, and nobody connects.
    pub(crate) fn none(net: &'net Network) -> Result<Self> {
        let listener = listen(net, &net.server, BACKLOG)?;
        Ok(Self { listener: Some(listener), ..Self::unconnected(net, net.client_address())? })
    }

    /// The same with a server that speaks MPTCP.
    pub(crate) fn none_multipath(net: &'net Network) -> Result<Self> {
        let listener = listen_multipath(net, BACKLOG)?;
        Ok(Self { listener: Some(listener), ..Self::unconnected(net, net.client_address())? })
    }

    /// A client has sent its SYN, and the server's answer is held on its way.
    pub(crate) fn halfway(net: &'net Network) -> Result<Self> {
        net.hold_packets_to_client()?;
        let connection = Self::none(net)?;
        start_to_connect(connection.client()?, connection.server_endpoint)?;
        connection.server_reaches(State::SynReceived)?;
        Ok(connection)
    }

    /// A client has sent its first request together with its SYN, and the server has not accepted.
    pub(crate) fn fast(net: &'net Network) -> Result<Self> {
        // Without a cookie, on every listener.
        net.client.sysctl("net.ipv4.tcp_fastopen", "5")?;
        net.server.sysctl("net.ipv4.tcp_fastopen", "1538")?;
        let client = fast_client(net, net.client_address())?;
        let listener = listen(net, &net.server, BACKLOG)?;
        let connection = Self { listener: Some(listener), ..Self::between(net, client)? };
        connection.client_connects().context("the client cannot connect")?;
        // It would wait until the server has answered.
        connection.client()?.set_nonblocking(true)?;
        connection.client_requests()?;
        connection.client()?.set_nonblocking(false)?;
        Ok(connection)
    }

    /// A client has sent its SYN, and nobody answers.
    pub(crate) fn unanswered(net: &'net Network) -> Result<Self> {
        let connection = Self::unconnected(net, net.client_address())?;
        start_to_connect(connection.client()?, connection.server_endpoint)?;
        connection.client_reaches(State::SynSent)?;
        Ok(connection)
    }

    /// Three connections wait to be accepted, and there is no place for this fourth one.
    pub(crate) fn overflow(net: &'net Network) -> Result<Self> {
        // It gives one place more. With a backlog of 1 the last SYN would get a cookie on 5.10.
        let listener = listen(net, &net.server, 2)?;
        let server = net.server_endpoint().into();
        let first = [client(net, net.client_address())?, client(net, net.client_address())?];
        for stream in &first {
            SockRef::from(stream).connect(&server)?;
        }
        // The last two SYNs arrive while there is still a place, the ACKs that complete the handshakes when there is
        // but one.
        net.hold_packets_to_client()?;
        let third = client(net, net.client_address())?;
        let mut fourth = Self::unconnected(net, net.client_address())?;
        for stream in [&third, present(fourth.client.as_ref())?] {
            start_to_connect(stream, fourth.server_endpoint)?;
            let from = stream.local_addr()?;
            until("the server to have the SYN", || {
                fourth.server_kernel.socket(fourth.server_endpoint, from)
            })?;
        }
        net.release_packets_to_client()?;
        fourth.client_is_gone()?;
        for _ in 0..3 {
            fourth.bystanders.streams.push(accept(&listener)?);
        }
        fourth.bystanders.streams.extend(first);
        fourth.bystanders.streams.push(third);
        fourth.listener = Some(listener);
        Ok(fourth)
    }

    /// The client connects again from the same port, and the same server accepts.
    pub(crate) fn reopen(self) -> Result<Self> {
        let connection =
            Self { listener: self.listener, ..Self::unconnected(self.net, self.client_endpoint)? };
        connection.client_connects().context("the client cannot connect again")?;
        let server = accept(present(connection.listener.as_ref())?)?;
        Ok(Self { server: Some(server), ..connection })
    }

    pub(super) fn unconnected(net: &'net Network, from: SocketAddr) -> Result<Self> {
        Self::between(net, client(net, from)?)
    }

    pub(super) fn between(net: &'net Network, client: TcpStream) -> Result<Self> {
        Ok(Self {
            net,
            listener: None,
            client_endpoint: client.local_addr()?,
            server_endpoint: net.server_endpoint(),
            client: Some(client),
            server: None,
            bystanders: Bystanders::default(),
            client_kernel: Diag::open(&net.client)?,
            server_kernel: Diag::open(&net.server)?,
            requests: Default::default(),
            client_errno: None,
            server_errno: None,
        })
    }

    pub(super) fn client_connects(&self) -> Result<()> {
        Ok(SockRef::from(self.client()?).connect(&self.server_endpoint.into())?)
    }
}

/// The request that comes next.
pub(super) fn next(number: &Cell<u8>) -> [u8; REQUEST_LEN] {
    request(number.replace(number.get() + 1))
}
