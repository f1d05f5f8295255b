//! A server of our own that closes idle connections when it is told to: the kernel is late by a thousandth at most.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::SockRef;

use crate::testbed::host::Host;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";

/// A server that accepts until it is dropped; connections that are open then live on.
pub(crate) struct Plain {
    listener: TcpListener,
    accepts: Option<JoinHandle<()>>,
}

impl Plain {
    /// Serves at `endpoint` of `host`; each connection may idle as long as `timeout` then says.
    pub(crate) fn start(
        host: &Host,
        endpoint: SocketAddr,
        timeout: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = host.enter(|| {
            TcpListener::bind(endpoint).with_context(|| format!("the server cannot listen at {endpoint}"))
        })?;
        let (accepting, timeout) = (listener.try_clone()?, Arc::new(timeout));
        let accepts = thread::spawn(move || {
            while let Ok((stream, _)) = accepting.accept() {
                let timeout = Arc::clone(&timeout);
                // A connection that breaks is its client's affair.
                thread::spawn(move || drop(serve(stream, &*timeout)));
            }
        });
        Ok(Self { listener, accepts: Some(accepts) })
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        // Ends the accept() that is waiting.
        let _ = SockRef::from(&self.listener).shutdown(Shutdown::Both);
        let _ = self.accepts.take().map(JoinHandle::join);
    }
}

/// Answers each request, which comes in one piece, until the client closes or idles for too long.
fn serve(mut stream: TcpStream, timeout: &dyn Fn() -> Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        // Not the socket's own timeout: the kernel rounds a long one up by seconds.
        let patience = PollTimeout::try_from(timeout()).unwrap_or(PollTimeout::MAX);
        let ready = poll(&mut [PollFd::new(stream.as_fd(), PollFlags::POLLIN)], patience)?;
        if ready == 0 || stream.read(&mut [0; 1024])? == 0 {
            return Ok(());
        }
        stream.write_all(ANSWER)?;
    }
}
