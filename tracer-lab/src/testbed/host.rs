//! A host: a network namespace with a name, and the ways to act inside it.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use anyhow::{Context as _, Result, anyhow, bail};
use nix::sched::{CloneFlags, setns};

use crate::testbed::wait::until;

/// Every namespace of every lab starts so.
const PREFIX: &str = "tracer-lab";
/// Where `ip netns` keeps its namespaces.
const NAMESPACES: &str = "/run/netns";

/// A network namespace, deleted when dropped.
pub struct Host {
    name: String,
    namespace: File,
    inum: u64,
}

impl Host {
    /// Makes the namespace, with its IPv6 ready for addresses that need no duplicate detection. A lab that is killed
    /// leaves it behind, to be removed by [`sweep`].
    pub fn create(role: &str) -> Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("{PREFIX}-{}-{}-{role}", process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        ip(None, &format!("netns add {name}"))?;
        let open = || -> Result<(File, u64)> {
            let namespace = File::open(format!("{NAMESPACES}/{name}"))?;
            let inum = namespace.metadata()?.ino();
            Ok((namespace, inum))
        };
        let (namespace, inum) = open().with_context(|| format!("namespace {name} cannot be opened"))?;
        let host = Self { name, namespace, inum };
        // Devices copy `default` when they appear: without this a link-local address is tentative for a second.
        host.sysctl("net.ipv6.conf.default.accept_dad", "0")?;
        // What a host says of itself it says at once, not in the middle of a scenario.
        host.sysctl("net.ipv6.conf.default.mldv2_unsolicited_report_interval", "1")?;
        host.sysctl("net.ipv4.conf.default.rp_filter", "0")?;
        Ok(host)
    }

    /// The same with a loopback that works.
    pub fn with_loopback(role: &str) -> Result<Self> {
        let host = Self::create(role)?;
        host.ip("link set lo up")?;
        Ok(host)
    }

    /// How `ip netns` knows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The inode number by which the kernel, and tracer, name the namespace.
    #[must_use]
    pub fn inum(&self) -> u64 {
        self.inum
    }

    /// Runs `work` on a thread inside the namespace: sockets, children and `/proc` it opens there belong to this host
    /// for good.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        inside(&self.namespace, work)
    }

    /// Runs `ip` commands, one per line, inside the namespace.
    pub fn ip(&self, commands: &str) -> Result<()> {
        ip(Some(&self.name), commands)
    }

    /// Runs `tc` with these blank-separated arguments inside the namespace.
    pub fn tc(&self, arguments: &str) -> Result<String> {
        let mut command = Command::new("tc");
        command.args(["-netns", &self.name]).args(arguments.split_whitespace());
        finish(command, "")
    }

    /// Runs `ss` with these blank-separated arguments inside the namespace.
    pub fn ss(&self, arguments: &str) -> Result<String> {
        let mut command = Command::new("ss");
        command.args(["--net", &self.name]).args(arguments.split_whitespace());
        finish(command, "")
    }

    /// Sends one UDP datagram.
    pub fn datagram(&self, to: SocketAddr, payload: &[u8]) -> Result<()> {
        let from: IpAddr = match to {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        self.enter(|| {
            let sent = UdpSocket::bind((from, 0)).and_then(|socket| socket.send_to(payload, to));
            sent.map(drop).with_context(|| format!("no datagram can be sent to {to}"))
        })
    }

    /// Waits until the host has sent `count` RST segments since it was made.
    pub fn has_sent_resets(&self, count: u64) -> Result<()> {
        until(&format!("{} to send {count} RST segments", self.name), || {
            Ok((self.tcp_counter("OutRsts")? == count).then_some(()))
        })
    }

    /// A counter of the namespace's own TCP statistics (RFC 4022), which count IPv4 and IPv6 together.
    pub fn tcp_counter(&self, name: &str) -> Result<u64> {
        let text = self.enter(|| Ok(fs::read_to_string("/proc/thread-self/net/snmp")?))?;
        counter(&text, "Tcp:", name).with_context(|| format!("this kernel does not count {name}"))
    }

    /// Sets a kernel setting of this namespace only.
    pub fn sysctl(&self, setting: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/{}", setting.replace('.', "/"));
        self.enter(|| fs::write(&path, value).with_context(|| format!("cannot set {setting} to {value}")))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Err(error) = ip(None, &format!("netns delete {}", self.name)) {
            eprintln!("lab: namespace {} is left behind: {error:#}", self.name);
        }
    }
}

/// Runs `work` on a thread inside the network namespace.
fn inside<T: Send>(namespace: &File, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let entered = || {
        setns(namespace, CloneFlags::CLONE_NEWNET).context("cannot enter a namespace (needs root)")?;
        work()
    };
    thread::scope(|scope| scope.spawn(entered).join())
        .map_err(|_| anyhow!("a thread in a namespace panicked"))?
}

/// A counter of `/proc/net/snmp`, where a line of names precedes each line of numbers.
fn counter(text: &str, protocol: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| line.starts_with(protocol));
    let column = lines.next()?.split_whitespace().position(|word| word == name)?;
    lines.next()?.split_whitespace().nth(column)?.parse().ok()
}

/// Connects device `eth0` of `host` to device `link` of `other`.
pub(crate) fn wire(host: &Host, other: &Host, link: &str) -> Result<()> {
    let (host, other) = (host.name(), other.name());
    ip(None, &format!("link add {link} netns {other} type veth peer name eth0 netns {host}"))
}

/// Deletes namespaces that a killed lab left behind. To be called before the first one is made.
pub(crate) fn sweep() -> Result<()> {
    let Ok(entries) = Path::new(NAMESPACES).read_dir() else {
        return Ok(());
    };
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').nth(1));
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let deleted = ip(None, &format!("netns delete {name}"));
            // Another lab that sweeps at the same time may have been first.
            if Path::new(NAMESPACES).join(&name).exists() {
                deleted.context("namespaces of an earlier lab cannot be removed")?;
            }
        }
    }
    Ok(())
}

/// Runs a batch of `ip` commands, in namespace `netns` if there is one.
pub(crate) fn ip(netns: Option<&str>, commands: &str) -> Result<()> {
    let mut command = Command::new("ip");
    if let Some(name) = netns {
        command.args(["-netns", name]);
    }
    command.args(["-batch", "-"]);
    finish(command, commands).map(drop)
}

/// Feeds `input` to a short-lived command and returns its output; a failure carries what it complained about.
fn finish(mut command: Command, input: &str) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run `{program}` (Debian package iproute2)"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let mut arguments = String::new();
    for argument in command.get_args() {
        let _ = write!(arguments, " {}", argument.to_string_lossy());
    }
    bail!("`{program}{arguments}` failed: {}", String::from_utf8_lossy(&output.stderr).trim())
}
