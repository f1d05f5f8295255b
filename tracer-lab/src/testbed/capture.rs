//! Packet captures by tcpdump, one per host.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::testbed::host::Host;
use crate::testbed::pcap;
use crate::testbed::wait::until;

/// The datagram that says: what came before is in the file.
const LAST: &[u8] = b"the capture ends here";

/// RST segments and the last datagram; `tcp[…]` means IPv4 only.
const RESETS: &str = "tcp[13] & 4 != 0 or (ip6[6] == 6 and ip6[40 + 13] & 4 != 0) or udp";

/// Bytes of payload that are kept.
const BEGIN: usize = 256;

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
    tcpdump: Child,
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
        let spawn = || {
            // `timeout`: should the lab be killed, no tcpdump outlives it for long.
            Command::new("timeout")
                .args(["--foreground", "120", "tcpdump", "-i", "eth0", "-w"])
                .arg(&file)
                .args([
                    "-U",
                    "--immediate-mode",
                    "--time-stamp-precision=nano",
                    "-Z",
                    "root",
                    "-B",
                    "8192",
                    filter,
                ])
                .stdin(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .context("cannot run tcpdump")
        };
        let mut tcpdump = host.enter(spawn)?;
        let stderr = tcpdump.stderr.take().ok_or_else(|| anyhow!("tcpdump has no standard error"))?;
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
        self.interrupt();
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

    fn interrupt(&self) {
        if let Ok(pid) = i32::try_from(self.tcpdump.id()) {
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(pid), Signal::SIGINT);
        }
    }
}

impl Drop for Capture<'_> {
    fn drop(&mut self) {
        self.interrupt();
        let _ = self.tcpdump.wait();
    }
}

/// The segments of the file, once the last datagram is in it.
fn segments_before_last(file: &Path) -> Result<Option<Vec<Segment>>> {
    let bytes = fs::read(file)?;
    let mut segments = Vec::new();
    for record in pcap::records(&bytes)? {
        let Ok(packet) = SlicedPacket::from_ethernet(record.frame) else {
            continue;
        };
        match &packet.transport {
            Some(TransportSlice::Udp(datagram)) if datagram.payload() == LAST => {
                return Ok(Some(segments));
            }
            Some(TransportSlice::Tcp(_)) => segments.extend(segment(record.time, &packet)),
            _ => {}
        }
    }
    Ok(None)
}

fn segment(time: Duration, packet: &SlicedPacket) -> Option<Segment> {
    let Some(TransportSlice::Tcp(tcp)) = &packet.transport else {
        return None;
    };
    let (source, destination) = match packet.net.as_ref()? {
        NetSlice::Ipv4(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        NetSlice::Ipv6(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        NetSlice::Arp(_) => return None,
    };
    Some(Segment {
        time,
        source: SocketAddr::new(source, tcp.source_port()),
        destination: SocketAddr::new(destination, tcp.destination_port()),
        flags: *tcp.slice().get(FLAGS)?,
        sequence: tcp.sequence_number(),
        acknowledgement: tcp.acknowledgment_number(),
        payload: u32::try_from(tcp.payload().len()).ok()?,
        begin: tcp.payload().iter().copied().take(BEGIN).collect(),
    })
}
