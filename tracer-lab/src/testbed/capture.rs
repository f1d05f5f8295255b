//! Packet captures by tcpdump, one per host.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use etherparse::{LaxNetSlice, LaxSlicedPacket, TcpSlice, TransportSlice};
use nix::sys::signal::Signal;

use crate::testbed::host::Host;
use crate::testbed::pcap;
use crate::testbed::process::{Process, bounded};
use crate::testbed::wait::until;

/// The datagram that says: what came before is in the file.
const LAST: &[u8] = b"the capture ends here";

/// RST segments and the last datagram; `tcp[…]` means IPv4 only.
const RESETS: &str = "tcp[13] & 4 != 0 or (ip6[6] == 6 and ip6[40 + 13] & 4 != 0) or udp";

/// Bytes of payload that are kept.
const BEGIN: usize = 256;
/// Bytes of a packet that tcpdump keeps: the longest headers of Ethernet, IPv6 and TCP, which are 114, and the
/// payload's beginning.
const SNAP_LENGTH: &str = "512";
/// Memory for packets that tcpdump has not read, in KiB: room for this many of [`SNAP_LENGTH`] each, but for 128 whole
/// ones.
const RING_KIB: &str = "8192";

/// Where the flags are in a TCP header, and which bits they are.
const FLAGS: usize = 13;
pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const ACK: u8 = 0x10;

/// One TCP segment as a host's interface saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Since the epoch.
    pub(crate) time: Duration,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    /// The flags of RFC 9293 in their low byte.
    pub(crate) flags: u8,
    pub(crate) sequence: u32,
    pub(crate) acknowledgement: u32,
    /// Payload in bytes.
    pub(crate) payload: u32,
    /// How the payload begins.
    pub(crate) begin: Vec<u8>,
}

impl Segment {
    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// One of the two is a retransmission of the other.
    pub(crate) fn repeats(&self, other: &Self) -> bool {
        self.source == other.source && self.payload > 0 && self.sequence == other.sequence
    }
}

/// A running tcpdump, ended when dropped.
pub(crate) struct Capture<'net> {
    host: &'net Host,
    file: PathBuf,
    tcpdump: Process,
    /// Held open: tcpdump still has a word to say when it ends.
    complaints: BufReader<ChildStderr>,
}

impl<'net> Capture<'net> {
    /// Starts to capture on `host`'s interface into `file` and returns once tcpdump listens.
    pub(crate) fn start(host: &'net Host, file: PathBuf) -> Result<Self> {
        Self::start_filtered(host, file, "")
    }

    /// The same for RST segments only: few enough that none is lost in a storm.
    pub(crate) fn start_of_resets(host: &'net Host, file: PathBuf) -> Result<Self> {
        Self::start_filtered(host, file, RESETS)
    }

    fn start_filtered(host: &'net Host, file: PathBuf, filter: &str) -> Result<Self> {
        // Should the lab be killed, no tcpdump outlives it for long.
        let mut command = bounded("tcpdump", 120);
        command.args(["-i", "eth0", "-w"]).arg(&file).args(["-U", "--immediate-mode"]);
        command.args([
            "--time-stamp-precision=nano",
            "-Z",
            "root",
            "-s",
            SNAP_LENGTH,
            "-B",
            RING_KIB,
            filter,
        ]);
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut tcpdump = host.enter(|| Process::start(&mut command))?;
        let stderr = tcpdump.stderr().context("tcpdump has no standard error")?;
        let mut complaints = BufReader::new(stderr);
        let mut said = String::new();
        while !said.contains("listening on") {
            if complaints.read_line(&mut said)? == 0 {
                tcpdump.wait()?;
                bail!("tcpdump does not start: {}", said.trim());
            }
        }
        Ok(Self { host, file, tcpdump, complaints })
    }

    /// The TCP segments captured up to now, that is until a datagram from this host to `nowhere` is in the file.
    pub(crate) fn finish(self, nowhere: SocketAddr) -> Result<Vec<Segment>> {
        self.until_last(nowhere)
    }

    /// The same, having made sure that the capture is complete.
    pub(crate) fn finish_complete(mut self, nowhere: SocketAddr) -> Result<Vec<Segment>> {
        let segments = self.until_last(nowhere)?;
        self.tcpdump.signal(Signal::SIGINT);
        let mut said = String::new();
        self.complaints.read_to_string(&mut said)?;
        ensure!(
            said.contains("\n0 packets dropped by kernel"),
            "tcpdump lost packets: {}",
            said.replace('\n', ", ")
        );
        Ok(segments)
    }

    fn until_last(&self, nowhere: SocketAddr) -> Result<Vec<Segment>> {
        self.host.datagram(nowhere, LAST)?;
        let what = format!("tcpdump to write the last packet of {}", self.host.name());
        until(&what, || segments_before_last(&self.file))
    }
}

/// The segments of the file, once the last datagram is in it.
fn segments_before_last(file: &Path) -> Result<Option<Vec<Segment>>> {
    let bytes = fs::read(file)?;
    let mut segments = Vec::new();
    for record in pcap::records(&bytes)? {
        let Ok(packet) = LaxSlicedPacket::from_ethernet(record.frame) else {
            continue;
        };
        match &packet.transport {
            Some(TransportSlice::Udp(datagram)) if datagram.payload() == LAST => {
                return Ok(Some(segments));
            }
            Some(TransportSlice::Tcp(tcp)) => {
                let segment = packet.net.as_ref().and_then(|net| segment(record.time, net, tcp));
                segments.push(segment.context("a TCP segment that cannot be read")?);
            }
            _ => {}
        }
    }
    Ok(None)
}

/// The TCP segment in a frame, if there is a whole one; nobody saw when.
pub(crate) fn segment_of(frame: &[u8]) -> Option<Segment> {
    let packet = LaxSlicedPacket::from_ethernet(frame).ok()?;
    match (&packet.net, &packet.transport) {
        (Some(net), Some(TransportSlice::Tcp(tcp))) => segment(Duration::ZERO, net, tcp),
        _ => None,
    }
}

fn segment(time: Duration, net: &LaxNetSlice, tcp: &TcpSlice) -> Option<Segment> {
    // What is behind the IP headers is as long as they say: captured is only how it begins.
    let (source, destination, length) = match net {
        LaxNetSlice::Ipv4(ip) => {
            let header = ip.header();
            let length = usize::from(header.total_len()).checked_sub(header.slice().len());
            (header.source_addr().into(), header.destination_addr().into(), length?)
        }
        LaxNetSlice::Ipv6(ip) => {
            let header = ip.header();
            let length = usize::from(header.payload_length()).checked_sub(ip.extensions().slice().len());
            (header.source_addr().into(), header.destination_addr().into(), length?)
        }
        LaxNetSlice::Arp(_) => return None,
    };
    Some(Segment {
        time,
        source: SocketAddr::new(source, tcp.source_port()),
        destination: SocketAddr::new(destination, tcp.destination_port()),
        flags: *tcp.slice().get(FLAGS)?,
        sequence: tcp.sequence_number(),
        acknowledgement: tcp.acknowledgment_number(),
        payload: u32::try_from(length.checked_sub(tcp.header_slice().len())?).ok()?,
        begin: tcp.payload().iter().copied().take(BEGIN).collect(),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::thread;

    use socket2::SockRef;
    use tempfile::TempDir;

    use anyhow::anyhow;
    use nix::sys::signal::kill;
    use nix::unistd::Pid;

    use super::*;
    use crate::testbed::network::{Family, Network};
    use crate::testbed::permit::may_run;
    use crate::testbed::sockets::{client_here, connect, listen};

    /// Each is a SYN and a RST.
    const REFUSALS: usize = 2000;
    /// Many times what a packet holds, and one that the host's own network card would cut is up to 64 KiB.
    const BYTES: usize = 1_000_000;

    /// Sends a signal to the tcpdump that `timeout` watches.
    fn tell(capture: &Capture, signal: Signal) -> Result<()> {
        let timeout = capture.tcpdump.id();
        let children = fs::read_to_string(format!("/proc/{timeout}/task/{timeout}/children"))?;
        Ok(kill(Pid::from_raw(children.trim().parse()?), signal)?)
    }

    #[test]
    fn a_burst_is_captured_whole_however_late_it_is_read() -> Result<()> {
        if !may_run("capture")? {
            return Ok(());
        }
        let (net, directory) = (Network::build(Family::V4)?, TempDir::new()?);
        let capture = Capture::start(&net.client, directory.path().join("client.pcap"))?;
        tell(&capture, Signal::SIGSTOP)?;
        net.client.enter(|| {
            for _ in 0..REFUSALS {
                let client = client_here(net.client_address())?;
                ensure!(SockRef::from(&client).connect(&net.server_endpoint().into()).is_err());
            }
            Ok(())
        })?;
        tell(&capture, Signal::SIGCONT)?;
        let segments = capture.finish_complete(net.nowhere())?;
        let with = |flag: u8| segments.iter().filter(|segment| segment.has(flag)).count();
        assert_eq!((with(SYN), with(RST)), (REFUSALS, REFUSALS));
        Ok(())
    }

    #[test]
    fn a_segment_is_as_long_as_it_was_and_not_as_what_is_kept_of_it() -> Result<()> {
        if !may_run("capture")? {
            return Ok(());
        }
        for family in [Family::V4, Family::V6] {
            let (net, directory) = (Network::build(family)?, TempDir::new()?);
            let capture = Capture::start(&net.client, directory.path().join("client.pcap"))?;
            let (mut client, mut server) =
                connect(&net, &listen(&net, &net.server, 1)?, net.server_endpoint())?;
            let sender = thread::spawn(move || client.write_all(&vec![b'?'; BYTES]).map(|()| client));
            server.read_exact(&mut vec![0; BYTES])?;
            let client = sender.join().map_err(|_| anyhow!("the client panicked"))??.local_addr()?;
            let segments = capture.finish_complete(net.nowhere())?;
            let sent = || segments.iter().filter(|segment| segment.source == client && segment.payload > 0);
            // Whatever is sent twice covers the same sequence numbers.
            let first = sent().next().context("nothing was sent")?.sequence;
            let end = |segment: &Segment| segment.sequence.wrapping_sub(first) + segment.payload;
            assert_eq!(sent().map(end).max(), Some(u32::try_from(BYTES)?), "{family:?}");
            assert!(
                sent().any(|segment| segment.payload > 1500),
                "{family:?}: no segment is longer than a packet"
            );
            assert!(sent().all(|segment| segment.begin.len() == BEGIN.min(segment.payload as usize)));
        }
        Ok(())
    }
}
