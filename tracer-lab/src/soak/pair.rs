//! Both ends of one connection of the soak, cheap enough to have thousands.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt::TcpRepair};
use socket2::SockRef;

use crate::testbed::diag::{Diag, State};
use crate::testbed::network::Network;
use crate::testbed::sockets::{accept, client_here, listen_on};
use crate::testbed::wait::{let_pass, patience, until};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 16;

/// It depends on the FIN timeout which of the two a kernel keeps.
const WAIT_FOR_FIN: &[State] = &[State::FinWait2, State::TimeWaitForFin];

/// One of those who make connections, on the client host, with a server of its own.
pub(crate) struct Worker<'net> {
    net: &'net Network,
    listener: TcpListener,
    /// The server's endpoint.
    pub(crate) server: SocketAddr,
    client_kernel: Diag,
    server_kernel: Diag,
}

impl<'net> Worker<'net> {
    /// A worker whose server listens at `port`; nobody listens at the two ports behind it.
    pub(crate) fn new(net: &'net Network, port: u16) -> Result<Self> {
        Ok(Self {
            net,
            listener: listen_on(net, &net.server, port, BACKLOG)?,
            server: SocketAddr::new(net.server_endpoint().ip(), port),
            client_kernel: Diag::open(&net.client)?,
            server_kernel: Diag::open(&net.server)?,
        })
    }
}

/// One connection.
pub(crate) struct Pair<'net> {
    worker: &'net Worker<'net>,
    client: Option<TcpStream>,
    server: Option<TcpStream>,
    pub(crate) client_endpoint: SocketAddr,
    pub(crate) server_endpoint: SocketAddr,
    /// Bytes of each message: large enough for nobody to take one for a last word.
    message: usize,
    /// How long it idles before its last request.
    rest: Duration,
    /// How a RST ended the socket, as its application sees it.
    pub(crate) client_errno: Option<Errno>,
    pub(crate) server_errno: Option<Errno>,
}

impl<'net> Pair<'net> {
    /// A client socket at `port` that is not connected.
    pub(crate) fn new(worker: &'net Worker, port: u16, message: usize, rest: Duration) -> Result<Self> {
        let from = SocketAddr::new(worker.net.client_address().ip(), port);
        Ok(Self {
            worker,
            client: Some(client_here(from)?),
            server: None,
            client_endpoint: from,
            server_endpoint: worker.server,
            message,
            rest,
            client_errno: None,
            server_errno: None,
        })
    }

    /// The client connects, the server accepts, and they exchange some messages.
    pub(crate) fn open(&mut self, exchanges: usize) -> Result<()> {
        SockRef::from(self.client()?).connect(&self.server_endpoint.into())?;
        self.server = Some(accept(&self.worker.listener)?);
        for _ in 0..exchanges {
            self.client_sends()?;
            self.server_reads()?;
            self.server_sends()?;
            self.client_reads()?;
        }
        Ok(())
    }

    /// Nobody says anything for a while.
    pub(crate) fn idles(&self) {
        let_pass(self.rest);
    }

    /// The client connects where nobody listens.
    pub(crate) fn refused(&mut self) -> Result<()> {
        self.server_endpoint.set_port(self.server_endpoint.port() + 1);
        let refused = SockRef::from(self.client()?).connect(&self.server_endpoint.into());
        self.client_errno = refused.err().and_then(|error| error.raw_os_error()).map(Errno::from_raw);
        ensure!(self.client_errno == Some(Errno::ECONNREFUSED), "not refused: {:?}", self.client_errno);
        Ok(())
    }

    /// The client connects to a server that closes before it has accepted.
    pub(crate) fn listener_closes(&mut self) -> Result<()> {
        let net = self.worker.net;
        self.server_endpoint.set_port(self.server_endpoint.port() + 2);
        let listener = listen_on(net, &net.server, self.server_endpoint.port(), BACKLOG)?;
        SockRef::from(self.client()?).connect(&self.server_endpoint.into())?;
        reaches(
            &self.worker.server_kernel,
            self.server_endpoint,
            self.client_endpoint,
            &[State::Established],
        )?;
        drop(listener);
        Ok(())
    }

    pub(crate) fn client_sends(&self) -> Result<()> {
        Ok(self.client()?.write_all(&vec![b'?'; self.message])?)
    }

    pub(crate) fn client_reads(&self) -> Result<()> {
        Ok(self.client()?.read_exact(&mut vec![0; self.message])?)
    }

    pub(crate) fn server_sends(&self) -> Result<()> {
        Ok(self.server()?.write_all(&vec![b'!'; self.message])?)
    }

    pub(crate) fn server_reads(&self) -> Result<()> {
        Ok(self.server()?.read_exact(&mut vec![0; self.message])?)
    }

    pub(crate) fn server_has_unread(&self) -> Result<()> {
        has_unread(self.server()?)
    }

    pub(crate) fn client_has_unread(&self) -> Result<()> {
        has_unread(self.client()?)
    }

    /// A few bytes: the client's last word.
    pub(crate) fn client_says(&self, bytes: usize) -> Result<()> {
        Ok(self.client()?.write_all(&vec![21; bytes])?)
    }

    pub(crate) fn server_hears(&self, bytes: usize) -> Result<()> {
        Ok(self.server()?.read_exact(&mut vec![0; bytes])?)
    }

    pub(crate) fn client_shuts_down(&self) -> Result<()> {
        Ok(self.client()?.shutdown(Shutdown::Write)?)
    }

    pub(crate) fn server_shuts_down(&self) -> Result<()> {
        Ok(self.server()?.shutdown(Shutdown::Write)?)
    }

    pub(crate) fn server_closes(&mut self) {
        self.server = None;
    }

    pub(crate) fn client_reads_end(&self) -> Result<()> {
        ensure!(self.client()?.read(&mut [0])? == 0, "the server says more");
        Ok(())
    }

    pub(crate) fn server_reads_end(&self) -> Result<()> {
        ensure!(self.server()?.read(&mut [0])? == 0, "the client says more");
        Ok(())
    }

    /// `close()` with `SO_LINGER` 0: a RST instead of a FIN.
    pub(crate) fn server_resets(&mut self) -> Result<()> {
        SockRef::from(self.server()?).set_linger(Some(Duration::ZERO))?;
        self.server_closes();
        Ok(())
    }

    /// The server's kernel forgets the connection without a word, as when a machine fails.
    pub(crate) fn server_vanishes(&mut self) -> Result<()> {
        setsockopt(self.server()?, TcpRepair, &1)?;
        self.server_closes();
        Ok(())
    }

    pub(crate) fn client_closes(&mut self) {
        self.client = None;
    }

    /// `close()` with `SO_LINGER` 0: a RST instead of a FIN.
    pub(crate) fn client_resets(&mut self) -> Result<()> {
        SockRef::from(self.client()?).set_linger(Some(Duration::ZERO))?;
        self.client_closes();
        Ok(())
    }

    /// A RST ends the client's socket.
    pub(crate) fn client_is_reset(&mut self) -> Result<()> {
        self.client_errno = Some(error_of(self.client()?)?);
        Ok(())
    }

    /// A RST ends the server's socket.
    pub(crate) fn server_is_reset(&mut self) -> Result<()> {
        self.server_errno = Some(error_of(self.server()?)?);
        Ok(())
    }

    pub(crate) fn client_waits_for_fin(&self) -> Result<()> {
        reaches(&self.worker.client_kernel, self.client_endpoint, self.server_endpoint, WAIT_FOR_FIN)
    }

    pub(crate) fn server_waits_for_fin(&self) -> Result<()> {
        reaches(&self.worker.server_kernel, self.server_endpoint, self.client_endpoint, WAIT_FOR_FIN)
    }

    fn client(&self) -> Result<&TcpStream> {
        self.client.as_ref().context("the client has closed")
    }

    fn server(&self) -> Result<&TcpStream> {
        self.server.as_ref().context("the server has closed")
    }
}

/// Waits until a kernel has one of its connections in one of these states.
fn reaches(kernel: &Diag, local: SocketAddr, remote: SocketAddr, states: &[State]) -> Result<()> {
    until(&format!("the socket of {local} to reach {states:?}"), || {
        let socket = kernel.socket(local, remote)?;
        Ok(socket.filter(|socket| states.contains(&socket.state)).map(drop))
    })
}

/// Waits for the error that a RST leaves in a socket.
fn error_of(stream: &TcpStream) -> Result<Errno> {
    let error = until("a RST", || Ok(stream.take_error()?))?;
    let errno = error.raw_os_error().map(Errno::from_raw).context("an error without a number")?;
    ensure!([Errno::ECONNRESET, Errno::EPIPE].contains(&errno), "no RST, but {errno}");
    Ok(errno)
}

/// Waits for payload without looking into it: a kernel takes `MSG_PEEK` for a read.
fn has_unread(stream: &TcpStream) -> Result<()> {
    let ready =
        poll(&mut [PollFd::new(stream.as_fd(), PollFlags::POLLIN)], PollTimeout::try_from(patience())?)?;
    ensure!(ready == 1, "nothing arrives");
    Ok(())
}
