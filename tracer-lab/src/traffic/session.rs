//! A client's connection.

use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use crate::testbed::wait::patience;

/// One connection, closed when dropped.
pub(crate) struct Session {
    stream: BufReader<TcpStream>,
}

/// What the headers of an answer say.
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Without it the answer ends with the connection.
    length: Option<u64>,
    keeps: bool,
}

impl Head {
    /// Whether the server keeps the connection.
    pub(crate) fn keeps(&self) -> bool {
        self.keeps && self.length.is_some()
    }
}

impl Session {
    pub(crate) fn open(server: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience()))?;
        stream.set_write_timeout(Some(patience()))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// The same, giving up after `patience`.
    pub(crate) fn open_within(server: SocketAddr, patience: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&server, patience)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// The client's address.
    pub(crate) fn local(&self) -> io::Result<SocketAddr> {
        self.stream.get_ref().local_addr()
    }

    /// Bounds whatever the server does next.
    pub(crate) fn wait_for(&self, patience: Duration) -> io::Result<()> {
        self.stream.get_ref().set_read_timeout(Some(patience))
    }

    /// Sends a request and reads the whole answer; says whether the server keeps the connection.
    pub(crate) fn ask(&mut self, request: &str, body: &[u8]) -> io::Result<bool> {
        self.send(request, body)?;
        let head = self.head()?;
        self.rest(&head)?;
        Ok(head.keeps())
    }

    /// Sends a request.
    pub(crate) fn send(&mut self, request: &str, body: &[u8]) -> io::Result<()> {
        let request = [request.as_bytes(), b"\r\n\r\n", body].concat();
        self.stream.get_mut().write_all(&request)
    }

    /// Sends more of a body.
    pub(crate) fn send_more(&mut self, body: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(body)
    }

    /// Says that nothing more will be sent.
    pub(crate) fn half_close(&self) -> io::Result<()> {
        self.stream.get_ref().shutdown(Shutdown::Write)
    }

    /// Reads the beginning of an answer.
    pub(crate) fn head(&mut self) -> io::Result<Head> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or(ErrorKind::UnexpectedEof)?;
        let mut head = Head { status, length: None, keeps: true };
        while line != "\r\n" {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let header = line.to_ascii_lowercase();
            if let Some(value) = header.strip_prefix("content-length:") {
                head.length = value.trim().parse().ok();
            }
            head.keeps &= !header.starts_with("connection: close");
        }
        Ok(head)
    }

    /// Reads what follows.
    pub(crate) fn rest(&mut self, head: &Head) -> io::Result<()> {
        let limit = head.length.unwrap_or(u64::MAX);
        let got = io::copy(&mut (&mut self.stream).take(limit), &mut io::sink())?;
        if head.length.is_some_and(|length| got < length) {
            Err(ErrorKind::UnexpectedEof.into())
        } else {
            Ok(())
        }
    }

    /// Whether the server has not closed, as pools ask before they use a connection again.
    pub(crate) fn is_open(&self) -> io::Result<bool> {
        let stream = self.stream.get_ref();
        stream.set_nonblocking(true)?;
        let open = stream.peek(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        stream.set_nonblocking(false)?;
        Ok(open)
    }

    /// Waits until the server has closed.
    pub(crate) fn until_closed(&self) -> io::Result<()> {
        match self.stream.get_ref().peek(&mut [0])? {
            0 => Ok(()),
            _ => Err(ErrorKind::InvalidData.into()),
        }
    }

    /// Closes with a RST.
    pub(crate) fn reset(self) -> io::Result<()> {
        SockRef::from(self.stream.get_ref()).set_linger(Some(Duration::ZERO))
    }
}
