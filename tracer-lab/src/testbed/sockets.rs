//! The sockets of a scenario's client and server, made on their hosts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};

use anyhow::{Context as _, Result};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::TcpFastOpenConnect;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::testbed::host::Host;
use crate::testbed::network::{Family, Network};
use crate::testbed::wait::patience;

/// A listening socket on `host`, at the server's port, for `backlog` connections that wait to be accepted.
pub(crate) fn listen(net: &Network, host: &Host, backlog: i32) -> Result<TcpListener> {
    listen_on(net, host, net.server_endpoint().port(), backlog)
}

/// The same at another port.
pub(crate) fn listen_on(net: &Network, host: &Host, port: u16, backlog: i32) -> Result<TcpListener> {
    listen_for(net, host, Protocol::TCP, port, backlog)
}

/// A listening socket of a server that speaks MPTCP.
pub(crate) fn listen_multipath(net: &Network, backlog: i32) -> Result<TcpListener> {
    listen_for(net, &net.server, Protocol::MPTCP, net.port, backlog)
}

fn listen_for(
    net: &Network,
    host: &Host,
    protocol: Protocol,
    port: u16,
    backlog: i32,
) -> Result<TcpListener> {
    let (domain, address): (_, IpAddr) = match net.family {
        Family::V4 => (Domain::IPV4, Ipv4Addr::UNSPECIFIED.into()),
        Family::V6 | Family::Mapped => (Domain::IPV6, Ipv6Addr::UNSPECIFIED.into()),
    };
    host.enter(|| {
        let socket = Socket::new(domain, Type::STREAM, Some(protocol))?;
        socket.set_reuse_address(true)?;
        if domain == Domain::IPV6 {
            socket.set_only_v6(net.family == Family::V6)?;
        }
        socket.bind(&SocketAddr::new(address, port).into())?;
        socket.listen(backlog)?;
        // It bounds accept() too.
        socket.set_read_timeout(Some(patience()))?;
        Ok(socket.into())
    })
}

/// A client socket that has its port already, so that the lab knows it whatever becomes of the connection.
pub(crate) fn client(net: &Network, from: SocketAddr) -> Result<TcpStream> {
    net.client.enter(|| client_here(from))
}

/// The same on the host that the calling thread is in.
pub(crate) fn client_here(from: SocketAddr) -> Result<TcpStream> {
    client_of(Protocol::TCP, from)
}

/// A client that speaks MPTCP with servers that do.
pub(crate) fn multipath_client(net: &Network, from: SocketAddr) -> Result<TcpStream> {
    net.client.enter(|| client_of(Protocol::MPTCP, from))
}

fn client_of(protocol: Protocol, from: SocketAddr) -> Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(from), Type::STREAM, Some(protocol))?;
    socket.bind(&from.into()).with_context(|| format!("the client cannot bind {from}"))?;
    let stream = TcpStream::from(socket);
    bound(&stream)?;
    Ok(stream)
}

/// A client that connects to `server`, and what `listener` accepts of it.
pub(crate) fn connect(
    net: &Network,
    listener: &TcpListener,
    server: SocketAddr,
) -> Result<(TcpStream, TcpStream)> {
    let client = client(net, net.client_address())?;
    SockRef::from(&client).connect(&server.into())?;
    Ok((client, accept(listener)?))
}

/// A client that sends what it says first together with its SYN.
pub(crate) fn fast_client(net: &Network, from: SocketAddr) -> Result<TcpStream> {
    let client = client(net, from)?;
    setsockopt(&client, TcpFastOpenConnect, &true)?;
    Ok(client)
}

/// The connection that waits first, accepted.
pub(crate) fn accept(listener: &TcpListener) -> Result<TcpStream> {
    let (stream, _) = listener.accept().context("the server cannot accept")?;
    bound(&stream)?;
    Ok(stream)
}

/// Bounds every later call on `stream`, and lets payload leave at once.
fn bound(stream: &TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(patience()))?;
    // connect() too.
    Ok(stream.set_write_timeout(Some(patience()))?)
}
