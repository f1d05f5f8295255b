//! What the applications do at the two ends of a connection, step by step.

use std::io::{ErrorKind, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::libc::{IPPROTO_TCP, TCP_LINGER2};
use socket2::{SockRef, TcpKeepalive};

use crate::testbed::sockets::{accept, listen};
use crate::testbed::wait::{let_pass, until};
use crate::traffic::connection::{BACKLOG, Connection, RESPONSE, next};
use crate::traffic::stream::{present, read, read_end};

/// A socket that takes nothing when asked so often, once a millisecond, is full: acknowledgements are delayed for up to
/// 200 ms.
const FULL: u32 = 250;
/// A part of a long request.
const PIECE: [u8; 3000] = [b'z'; 3000];

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

    /// Messages at this pace, which go on with what the client has begun to say.
    pub(crate) fn client_goes_on(&self, pieces: u32, pace: Duration) -> Result<()> {
        (0..pieces).try_for_each(|_| {
            self.client_says(&PIECE)?;
            let_pass(pace);
            Ok(())
        })
    }

    /// The server reads so many of these messages.
    pub(crate) fn server_reads_pieces(&self, pieces: u32) -> Result<()> {
        (0..pieces).try_for_each(|_| read(self.server()?, &PIECE))
    }

    /// What the client says last.
    pub(crate) fn server_reads(&self, message: &[u8]) -> Result<()> {
        read(self.server()?, message)
    }

    pub(crate) fn server_accepts(&mut self) -> Result<()> {
        self.server = Some(accept(present(self.listener.as_ref())?)?);
        Ok(())
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

    /// The server's end is another process's, which is killed.
    pub(crate) fn server_process_is_killed(&mut self) -> Result<()> {
        let server = self.server.take().context("the server has closed")?;
        let mut process = Command::new("sleep").arg("60").stdin(OwnedFd::from(server)).spawn()?;
        process.kill()?;
        process.wait()?;
        Ok(())
    }

    pub(crate) fn client_shuts_down_writing(&self) -> Result<()> {
        Ok(self.client()?.shutdown(Shutdown::Write)?)
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

    pub(super) fn client(&self) -> Result<&TcpStream> {
        present(self.client.as_ref())
    }

    pub(super) fn server(&self) -> Result<&TcpStream> {
        present(self.server.as_ref())
    }
}
