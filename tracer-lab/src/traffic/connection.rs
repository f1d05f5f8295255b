//! A keep-alive HTTP connection with both its ends in hand, so that a scenario can order every step.

use std::cell::Cell;
use std::io::{ErrorKind, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::errno::Errno;
use nix::libc::{IPPROTO_TCP, TCP_LINGER2};
use socket2::{SockRef, TcpKeepalive};

use crate::testbed::diag::{Diag, State, Status};
use crate::testbed::network::Network;
use crate::testbed::sockets::{accept, client, listen, multipath_client};
use crate::testbed::wait::until;
use crate::traffic::stream::{pending_error, present, read, read_end, start_to_connect};

const REQUEST_LEN: usize = request(0).len();
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
/// A socket that takes nothing when asked so often, once a millisecond, is full: acknowledgements are delayed for up to
/// 200 ms.
const FULL: u32 = 250;
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 16;

/// The requests of a connection differ, so that one is not taken for another; all are of one length.
const fn request(number: u8) -> [u8; 50] {
    let mut text = *b"POST /lab/0?with=a&secret=in HTTP/1.1\r\nHost: a\r\n\r\n";
    text[10] += number;
    text
}

/// One connection through the network of a scenario.
pub(crate) struct Connection<'net> {
    net: &'net Network,
    /// What a late segment meets depends on it.
    listener: Option<TcpListener>,
    client: Option<TcpStream>,
    server: Option<TcpStream>,
    /// Sockets that are only there.
    bystanders: Bystanders,
    client_kernel: Diag,
    server_kernel: Diag,
    /// Requests that were sent, and read.
    requests: [Cell<u8>; 2],
    pub(crate) client_endpoint: SocketAddr,
    pub(crate) server_endpoint: SocketAddr,
    /// What the sockets reported to their applications in the end.
    pub(crate) client_errno: Option<Errno>,
    pub(crate) server_errno: Option<Errno>,
}

#[derive(Default)]
struct Bystanders {
    listeners: Vec<TcpListener>,
    streams: Vec<TcpStream>,
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

    /// A client connects to a port without listener.
    pub(crate) fn refused(net: &'net Network) -> Result<Self> {
        let mut connection = Self::unconnected(net, net.client_address())?;
        let refusal = connection.client_connects().err();
        let error = refusal.ok_or_else(|| anyhow!("the closed port accepts connections"))?;
        let errno = error.downcast_ref().and_then(std::io::Error::raw_os_error);
        connection.client_errno = errno.map(Errno::from_raw);
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

    fn unconnected(net: &'net Network, from: SocketAddr) -> Result<Self> {
        Self::between(net, client(net, from)?)
    }

    fn between(net: &'net Network, client: TcpStream) -> Result<Self> {
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

    fn client_connects(&self) -> Result<()> {
        Ok(SockRef::from(self.client()?).connect(&self.server_endpoint.into())?)
    }
}

/// What the applications do.
impl Connection<'_> {
    /// A whole request and its whole response.
    pub(crate) fn exchange(&self) -> Result<()> {
        self.client_requests()?;
        self.server_reads_the_request()?;
        self.server_responds()?;
        self.client_reads_the_response()
    }

    pub(crate) fn client_requests(&self) -> Result<()> {
        Ok(self.client()?.write_all(&next(&self.requests[0]))?)
    }

    /// A request of many segments, in one piece.
    pub(crate) fn client_requests_at_length(&self) -> Result<()> {
        let request = [next(&self.requests[0]).as_slice(), &[b'.'; 16 * 1024]].concat();
        Ok(self.client()?.write_all(&request)?)
    }

    pub(crate) fn server_reads_the_request(&self) -> Result<()> {
        read(self.server()?, &next(&self.requests[1]))
    }

    pub(crate) fn server_responds(&self) -> Result<()> {
        Ok(self.server()?.write_all(RESPONSE)?)
    }

    pub(crate) fn client_reads_the_response(&self) -> Result<()> {
        read(self.client()?, RESPONSE)
    }

    /// A message other than the usual request and response.
    pub(crate) fn client_says(&self, message: &[u8]) -> Result<()> {
        Ok(self.client()?.write_all(message)?)
    }

    /// A message other than the usual request and response.
    pub(crate) fn server_says(&self, message: &[u8]) -> Result<()> {
        Ok(self.server()?.write_all(message)?)
    }

    /// A request so long that the rest of it waits until the server reads.
    pub(crate) fn client_uploads(&self) -> Result<()> {
        self.client_requests()?;
        let mut client = self.client()?;
        client.set_nonblocking(true)?;
        let mut refused = 0;
        until("both ends' buffers to be full", || match client.write(&[b'.'; 16 * 1024]) {
            Ok(_) => {
                refused = 0;
                Ok(None)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                refused += 1;
                Ok((refused == FULL).then_some(()))
            }
            Err(error) => Err(error.into()),
        })
    }

    pub(crate) fn client_closes(&mut self) {
        self.client = None;
    }

    pub(crate) fn server_closes(&mut self) {
        self.server = None;
    }

    pub(crate) fn listener_closes(&mut self) {
        self.listener = None;
    }

    pub(crate) fn server_shuts_down_writing(&self) -> Result<()> {
        Ok(self.server()?.shutdown(Shutdown::Write)?)
    }

    /// `close()` with `SO_LINGER` 0: a RST instead of a FIN.
    pub(crate) fn client_resets(&mut self) -> Result<()> {
        SockRef::from(self.client()?).set_linger(Some(Duration::ZERO))?;
        self.client_closes();
        Ok(())
    }

    /// `close()` with `SO_LINGER` 0: a RST instead of a FIN.
    pub(crate) fn server_resets(&mut self) -> Result<()> {
        SockRef::from(self.server()?).set_linger(Some(Duration::ZERO))?;
        self.server_closes();
        Ok(())
    }

    pub(crate) fn client_reads_the_end(&self) -> Result<()> {
        read_end(self.client()?)
    }

    pub(crate) fn server_reads_the_end(&self) -> Result<()> {
        read_end(self.server()?)
    }

    /// The server probes an idle connection once after `time`, and gives up when that passes again.
    pub(crate) fn server_probes_every(&self, time: Duration) -> Result<()> {
        let probes = TcpKeepalive::new().with_time(time).with_interval(time).with_retries(1);
        Ok(SockRef::from(self.server()?).set_tcp_keepalive(&probes)?)
    }

    /// The server's kernel gives up when something is not acknowledged for `time`.
    pub(crate) fn server_gives_up_after(&self, time: Duration) -> Result<()> {
        Ok(SockRef::from(self.server()?).set_tcp_user_timeout(Some(time))?)
    }

    /// The server's kernel acknowledges what comes next without delay.
    pub(crate) fn server_acknowledges_at_once(&self) -> Result<()> {
        Ok(SockRef::from(self.server()?).set_tcp_quickack(true)?)
    }

    /// `TCP_LINGER2` below 0: once the server has closed, its kernel resets as soon as the FIN is acknowledged.
    ///
    /// Rust has no safe way to set it, but Perl is part of every Debian.
    pub(crate) fn server_lingers_not_at_all(&self) -> Result<()> {
        let set = format!(r#"setsockopt(STDIN, {IPPROTO_TCP}, {TCP_LINGER2}, pack("i", -1)) or die $!"#);
        let mut perl = Command::new("perl");
        perl.args(["-e", &set]).stdin(OwnedFd::from(self.server()?.try_clone()?));
        let status = perl.status().context("cannot run perl (Debian package perl-base)")?;
        ensure!(status.success(), "perl cannot set TCP_LINGER2 ({status})");
        Ok(())
    }

    /// An operator on the server host ends the socket.
    pub(crate) fn server_is_killed(&self) -> Result<()> {
        let port = self.client_endpoint.port();
        let killed =
            self.net.server.ss(&format!("--no-header --tcp --kill state established dport = :{port}"))?;
        ensure!(!killed.is_empty(), "ss finds no socket to kill");
        Ok(())
    }

    /// Another process serves the same address and port on the standby host.
    pub(crate) fn standby_listens(&mut self) -> Result<()> {
        let listener = listen(self.net, &self.net.standby, BACKLOG)?;
        self.bystanders.listeners.push(listener);
        Ok(())
    }

    fn client(&self) -> Result<&TcpStream> {
        present(self.client.as_ref())
    }

    fn server(&self) -> Result<&TcpStream> {
        present(self.server.as_ref())
    }
}

/// What the lab waits for.
impl Connection<'_> {
    /// The request lies in the server's receive queue, and stays there.
    pub(crate) fn server_has_the_request_unread(&self) -> Result<()> {
        let mut buffer = [0; REQUEST_LEN];
        let waiting = self.server()?.peek(&mut buffer)?;
        ensure!(waiting == REQUEST_LEN, "only {waiting} bytes of the request have arrived");
        Ok(())
    }

    /// The response lies in the client's receive queue, and stays there.
    pub(crate) fn client_has_the_response_unread(&self) -> Result<()> {
        let mut buffer = [0; RESPONSE.len()];
        let waiting = self.client()?.peek(&mut buffer)?;
        ensure!(waiting == RESPONSE.len(), "only {waiting} bytes of the response have arrived");
        Ok(())
    }

    /// The client's kernel knows that all it sent has arrived.
    pub(crate) fn client_is_acknowledged(&self) -> Result<()> {
        until("the acknowledgement of the request", || {
            let acknowledged = |status: &Status| status.unacknowledged == 0;
            Ok(self.client_status()?.filter(acknowledged).map(drop))
        })
    }

    pub(crate) fn client_reaches(&self, state: State) -> Result<()> {
        until(&format!("the client's socket to reach {state:?}"), || {
            Ok(self.client_status()?.filter(|status| status.state == state).map(drop))
        })
    }

    pub(crate) fn server_reaches(&self, state: State) -> Result<()> {
        until(&format!("the server's socket to reach {state:?}"), || {
            Ok(self.server_status()?.filter(|status| status.state == state).map(drop))
        })
    }

    /// The client's kernel has forgotten the connection; its application, if it still has the socket, learns the error.
    pub(crate) fn client_is_gone(&mut self) -> Result<()> {
        until("the client's socket to die", || Ok(self.client_status()?.is_none().then_some(())))?;
        self.client_errno = pending_error(self.client.as_ref())?;
        Ok(())
    }

    /// The server's kernel has forgotten the connection; its application, if it still has the socket, learns the error.
    pub(crate) fn server_is_gone(&mut self) -> Result<()> {
        until("the server's socket to die", || Ok(self.server_status()?.is_none().then_some(())))?;
        self.server_errno = pending_error(self.server.as_ref())?;
        Ok(())
    }

    fn client_status(&self) -> Result<Option<Status>> {
        self.client_kernel.socket(self.client_endpoint, self.server_endpoint)
    }

    fn server_status(&self) -> Result<Option<Status>> {
        self.server_kernel.socket(self.server_endpoint, self.client_endpoint)
    }
}

/// The request that comes next.
fn next(number: &Cell<u8>) -> [u8; REQUEST_LEN] {
    request(number.replace(number.get() + 1))
}
