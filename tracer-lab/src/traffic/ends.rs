//! Both ends of one connection, in this process.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use anyhow::{Result, ensure};

use crate::testbed::network::Network;
use crate::testbed::sockets::connect;
use crate::testbed::wait::until;

/// The client's end and the server's.
pub struct Ends {
    /// Who has connected.
    pub client: TcpStream,
    /// Who has accepted.
    pub server: TcpStream,
    /// The client's address, whatever becomes of the connection.
    pub endpoint: SocketAddr,
}

impl Ends {
    /// The client host connects to `server`, where `listener` accepts.
    pub(crate) fn open(net: &Network, listener: &TcpListener, server: SocketAddr) -> Result<Self> {
        let (client, server) = connect(net, listener, server)?;
        Ok(Self { endpoint: client.local_addr()?, client, server })
    }

    /// Both on the host of the calling thread.
    pub fn local(listener: &TcpListener) -> Result<Self> {
        let client = TcpStream::connect(listener.local_addr()?)?;
        let (server, _) = listener.accept()?;
        Ok(Self { endpoint: client.local_addr()?, client, server })
    }

    /// A request of one byte and its response.
    pub fn exchange(&self) -> Result<()> {
        pass(&self.client, &self.server)?;
        pass(&self.server, &self.client)
    }

    /// The server closes, and the client has read that.
    pub fn server_closes(self) -> Result<TcpStream> {
        drop(self.server);
        ensure!(self.client.peek(&mut [0])? == 0, "the server says more");
        Ok(self.client)
    }

    /// A keep-alive race: the server closes before it reads `request`.
    pub fn race_unread(mut self, request: &[u8]) -> Result<()> {
        self.client.write_all(request)?;
        ensure!(self.server.peek(&mut [0])? == 1, "no request arrives");
        drop(self.server);
        is_reset(&self.client)
    }

    /// A keep-alive race: the client has the server's FIN, and sends `request` all the same.
    pub fn race_after_fin(self, request: &[u8]) -> Result<()> {
        let mut client = self.server_closes()?;
        client.write_all(request)?;
        is_reset(&client)
    }
}

fn pass(mut from: &TcpStream, mut to: &TcpStream) -> Result<()> {
    from.write_all(b"?")?;
    Ok(to.read_exact(&mut [0])?)
}

/// Waits for the error that a RST leaves in the client's socket.
pub(crate) fn is_reset(client: &TcpStream) -> Result<()> {
    until("the client to be reset", || Ok(client.take_error()?)).map(drop)
}
