//! What is done with one end of a connection.

use std::io::{ErrorKind, Read as _};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context as _, Result, bail, ensure};
use nix::errno::Errno;
use socket2::SockRef;

/// The end, if it is still open.
pub(crate) fn present<T>(socket: Option<&T>) -> Result<&T> {
    socket.context("the scenario uses a socket that is closed")
}

/// Sends a SYN, to which no answer may come yet.
pub(crate) fn start_to_connect(stream: &TcpStream, server: SocketAddr) -> Result<()> {
    stream.set_nonblocking(true)?;
    let started = SockRef::from(stream).connect(&server.into());
    let waits = started.is_err_and(|error| error.raw_os_error() == Some(Errno::EINPROGRESS as i32));
    ensure!(waits, "a held handshake is complete");
    Ok(())
}

/// Reads this message and nothing else.
pub(crate) fn read(mut stream: &TcpStream, message: &[u8]) -> Result<()> {
    let mut buffer = vec![0; message.len()];
    stream.read_exact(&mut buffer)?;
    ensure!(buffer == message, "an unexpected message arrived");
    Ok(())
}

/// Reads the end of the connection.
pub(crate) fn read_end(mut stream: &TcpStream) -> Result<()> {
    match stream.read(&mut [0]) {
        Ok(0) => Ok(()),
        Ok(_) => bail!("payload arrived where the end of the connection was expected"),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            bail!("the other side did not close")
        }
        Err(error) => Err(error.into()),
    }
}

/// The error that the socket has for its application, if it has one and the socket is open.
pub(crate) fn pending_error(stream: Option<&TcpStream>) -> Result<Option<Errno>> {
    let error = stream.map(TcpStream::take_error).transpose()?.flatten();
    Ok(error.and_then(|error| error.raw_os_error()).map(Errno::from_raw))
}
