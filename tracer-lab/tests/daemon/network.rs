//! Resets in a network of the test's own.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use nix::sched::{CloneFlags, unshare};
use tracer_lab::testbed::host;
use tracer_lab::testbed::wait::let_pass;

/// Threads that connect at once.
const CROWD: usize = 4;
/// Ports that each network has for itself, so that a daemon can be told to look at one network only.
const PORTS: u16 = 1000;
/// Networks until ports come again: the kernel's own choice begins above.
const NETWORKS: u16 = 31;
/// Longer than any exchange pauses.
const IDLE: Duration = Duration::from_millis(100);

/// A network namespace with nothing but a loopback. It has no name: it vanishes when this is dropped and all its
/// sockets are closed, even if the test is killed.
pub(crate) struct Network {
    namespace: File,
    /// How the kernel, and the daemon, name the namespace.
    pub(crate) inum: u64,
    first_port: u16,
}

impl Network {
    pub(crate) fn new() -> Result<Self> {
        static MADE: AtomicU16 = AtomicU16::new(0);
        let first_port = (MADE.fetch_add(1, Ordering::Relaxed) % NETWORKS + 1) * PORTS;
        let make = move || -> Result<Self> {
            unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace (needs root)")?;
            let loopback = Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
            ensure!(loopback.success(), "`ip link set lo up` failed ({loopback})");
            let namespace = File::open("/proc/thread-self/ns/net")?;
            let inum = namespace.metadata()?.ino();
            Ok(Self { namespace, inum, first_port })
        };
        thread::spawn(make).join().map_err(|_| anyhow!("making a network namespace panicked"))?
    }

    /// Runs `work` inside.
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        host::inside(&self.namespace, work)
    }

    /// One of the network's own ports. Nobody listens there.
    pub(crate) fn port(&self, index: u16) -> u16 {
        self.first_port + index
    }

    /// The first so many ports, as a list for the daemon's flag.
    pub(crate) fn ports(&self, count: u16) -> String {
        (0..count).map(|index| self.port(index).to_string()).collect::<Vec<_>>().join(",")
    }

    /// Connects to each of these ports in vain. On return all RST segments were sent and received: one of each for
    /// every port.
    pub(crate) fn refuse(&self, ports: Range<u16>) -> Result<()> {
        self.enter(|| ports.map(|index| self.port(index)).try_for_each(refused))
    }

    /// Connects to the first port so many times, in vain and as fast as it gets: one RST segment each.
    pub(crate) fn refuse_many(&self, times: usize) -> Result<()> {
        self.enter(|| {
            thread::scope(|scope| {
                let connect = || (0..times / CROWD).try_for_each(|_| refused(self.port(0)));
                let crowd: Vec<_> = (0..CROWD).map(|_| scope.spawn(connect)).collect();
                crowd.into_iter().try_for_each(|one| one.join().map_err(|_| anyhow!("a client panicked"))?)
            })
        })
    }

    /// A server closes a connection that was idle for a moment after an exchange.
    pub(crate) fn close_idle_connection(&self) -> Result<()> {
        self.enter(|| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let mut client = TcpStream::connect(listener.local_addr()?)?;
            let (mut server, _) = listener.accept()?;
            let mut byte = [0];
            client.write_all(b"?")?;
            server.read_exact(&mut byte)?;
            server.write_all(b"!")?;
            client.read_exact(&mut byte)?;
            let_pass(IDLE);
            drop(server);
            ensure!(client.read(&mut byte)? == 0, "the server said more");
            Ok(())
        })
    }

    /// A counter of the namespace's own TCP statistics (RFC 4022).
    pub(crate) fn tcp_counter(&self, name: &str) -> Result<u64> {
        let text = self.enter(|| Ok(fs::read_to_string("/proc/thread-self/net/snmp")?))?;
        host::counter(&text, "Tcp:", name).with_context(|| format!("this kernel does not count {name}"))
    }
}

fn refused(port: u16) -> Result<()> {
    match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error).context("a connection was to be refused"),
        Ok(_) => bail!("somebody listens on port {port}"),
    }
}
