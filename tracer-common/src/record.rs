//! One record: what the kernel side saw at one tracepoint, as it stands in the ring buffer.

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::RequestLine;

/// A socket or packet as one of the tracepoints met it. Fields that do not apply are 0.
///
/// Sequence numbers and byte counts are the kernel's own (`struct tcp_sock`); ages are in jiffies (1/HZ s).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes)]
pub struct Record {
    /// `bpf_ktime_get_ns` (`CLOCK_MONOTONIC`) when the probe ran.
    pub at_ns: u64,
    /// Payload bytes sent, retransmissions included.
    pub bytes_sent: u64,
    /// Payload bytes received in order.
    pub bytes_received: u64,
    /// Bytes acknowledged by the peer; a SYN we sent counts as one, and so does our FIN.
    pub bytes_acked: u64,
    /// Payload bytes retransmitted.
    pub bytes_retrans: u64,
    /// One of the `KIND_*` values.
    pub kind: u32,
    /// Inode number of the network namespace.
    pub netns: u32,
    /// Jiffies since payload was last sent (or since the connection was established).
    pub since_sent: u32,
    /// Jiffies since in-order payload was last received (or since the connection was established).
    pub since_received: u32,
    /// Jiffies since a segment with an ACK was last processed.
    pub since_ack: u32,
    /// Segments with payload sent, retransmissions included (`__tcp_transmit_skb`, `net/ipv4/tcp_output.c`).
    pub data_segs_out: u32,
    /// Segments with payload received, in order or not (`tcp_segs_in`, `include/net/tcp.h`): counted before anything
    /// else, so one that is answered with a RST is among them.
    pub data_segs_in: u32,
    /// Oldest unacknowledged sequence number.
    pub snd_una: u32,
    /// Next sequence number to send.
    pub snd_nxt: u32,
    /// Sequence number of the segment that last updated the send window.
    pub snd_wl1: u32,
    /// End of what the application wrote, a queued FIN included.
    pub write_seq: u32,
    /// Next sequence number expected.
    pub rcv_nxt: u32,
    /// End of what the application read.
    pub copied_seq: u32,
    /// Smoothed round-trip time in microseconds, shifted left by 3; 0 when never measured.
    pub srtt_us: u32,
    /// `enum sk_rst_reason` of the running kernel, or [`NO_REASON`].
    pub reason: u32,
    /// Sequence number of the segment that is answered with a RST.
    pub segment_seq: u32,
    /// Its acknowledgment number.
    pub segment_ack: u32,
    /// Its payload length in bytes.
    pub segment_len: u32,
    /// Local address; IPv4 in the first four bytes.
    pub local_addr: [u8; 16],
    /// Remote address; IPv4 in the first four bytes.
    pub remote_addr: [u8; 16],
    /// Local port, host byte order.
    pub local_port: u16,
    /// Remote port, host byte order.
    pub remote_port: u16,
    /// `AF_INET` or `AF_INET6`.
    pub family: u16,
    /// `FLAG_*` bits.
    pub flags: u16,
    /// TCP state before the event (`include/net/tcp_states.h`).
    pub old_state: u8,
    /// TCP state after the event; the same as `old_state` where the event changes none.
    pub new_state: u8,
    /// One of the `SOCKET_*` values.
    pub socket: u8,
    /// TCP flags byte of the segment that is answered with a RST.
    pub segment_flags: u8,
    /// Unanswered keepalive or zero-window probes.
    pub probes_out: u8,
    /// Keeps what follows aligned.
    pub padding: [u8; 3],
    /// When the oldest segment in flight was sent, or the latest that was acknowledged: with payload or a FIN
    /// (`first_tx_mstamp`, `tcp_rate_skb_sent`, `net/ipv4/tcp_rate.c`); on the clock of `at_ns`, to the microsecond,
    /// and with pacing in the future.
    pub sent_ns: u64,
    /// When the application last read payload; on the clock of `at_ns`, 0 when not seen.
    pub read_ns: u64,
    /// Requests that were answered; only with [`FLAG_REQUESTS`].
    pub requests: u32,
    /// Keeps the size a multiple of 8.
    pub more_padding: u32,
    /// When the application last read, on the clock of `at_ns`, to the microsecond; another read may have followed
    /// within an eighth of `rcv_rtt_us` (`rcvq_space.time`, `tcp_rcv_space_adjust`, `net/ipv4/tcp_input.c`).
    pub last_read_ns: u64,
    /// The receiver's own estimate of the round-trip time in microseconds; while it is 0 `last_read_ns` is when the
    /// connection was established (`tcp_init_buffer_space`, `net/ipv4/tcp_input.c`).
    pub rcv_rtt_us: u32,
    /// `rcv_nxt` when a segment was last sent: what had been received until then (`tcp_select_window`,
    /// `net/ipv4/tcp_output.c`).
    pub rcv_wup: u32,
    /// What ended the connection, as an errno (`sk_err`, or an error that came during `connect()`); 0 where nothing but
    /// FINs did.
    pub error: u32,
    /// `RCV_SHUTDOWN` and `SEND_SHUTDOWN` (`include/net/sock.h`): what the application has closed.
    pub shutdown: u8,
    /// Keeps the size a multiple of 8.
    pub last_padding: [u8; 3],
}

/// What the ring has where request lines are asked for. It is a record more often without: each line of the cache that
/// is not written saves a wait for memory.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes)]
pub struct RecordWithLine {
    /// The record.
    pub record: Record,
    /// The last request line of the connection that ended.
    pub request_line: RequestLine,
}

const _: () = assert!(size_of::<Record>() == 208 && align_of::<Record>() == 8);

/// The first FIN of a connection, ours (to `FIN_WAIT1`) or the peer's (to `CLOSE_WAIT`).
pub const KIND_FIN: u32 = 1;
/// A socket reached CLOSE in a way that may still lead to a RST, or that left a request without an answer.
pub const KIND_CLOSE: u32 = 2;
/// `tcp_send_reset`: a RST leaves this host.
pub const KIND_SEND_RESET: u32 = 3;
/// `tcp_receive_reset`: a RST ended a socket, or an orphan was aborted by the kernel itself.
pub const KIND_RECEIVE_RESET: u32 = 4;

/// The application has closed for reading (`include/net/sock.h`).
pub const RCV_SHUTDOWN: u8 = 1;
/// The application has closed for writing.
pub const SEND_SHUTDOWN: u8 = 2;

/// The event has no socket.
pub const SOCKET_NONE: u8 = 0;
/// An ordinary connection.
pub const SOCKET_FULL: u8 = 1;
/// A time-wait mini-socket.
pub const SOCKET_TIME_WAIT: u8 = 2;
/// A listener, or a request it has not turned into a connection yet.
pub const SOCKET_LISTENER: u8 = 3;

/// The record carries the segment that provoked a passive reset.
pub const FLAG_SEGMENT: u16 = 1;
/// No process holds the socket any more (`SOCK_DEAD`).
pub const FLAG_ORPHAN: u16 = 1 << 1;
/// The peer's FIN was received (`SOCK_DONE`).
pub const FLAG_PEER_FIN: u16 = 1 << 2;
/// `SO_LINGER` with a timeout of 0.
pub const FLAG_LINGER_ZERO: u16 = 1 << 3;
/// The socket was never accepted (no `struct socket`), or is an orphan.
pub const FLAG_DETACHED: u16 = 1 << 4;
/// Unacknowledged payload was sent more than once, so `since_sent` counts from a later time than the first.
pub const FLAG_RETRANSMITTING: u16 = 1 << 5;
/// `requests` counts from the connection's first one.
pub const FLAG_REQUESTS: u16 = 1 << 6;

/// This kernel gives no reason for a reset.
pub const NO_REASON: u32 = u32::MAX;

/// What the kernel side counts for itself, one array per CPU, so that a full ring loses no count.
pub mod counter {
    /// RST segments sent: one for each `tcp_send_reset`.
    pub const SEGMENTS_SENT: usize = 0;
    /// `tcp_receive_reset` calls.
    pub const RECEIVES: usize = 1;
    /// Those of them that were the kernel aborting an orphan, not a received RST.
    pub const FALSE_RECEIVES: usize = 2;
    /// The socket that [`RECEIVES`] last counted in a state an orphan can be in, and the time: scratch
    /// that lets the kernel side recognise a false receive. No counters.
    pub const LAST_RECEIVE_SK: usize = 3;
    /// See [`LAST_RECEIVE_SK`].
    pub const LAST_RECEIVE_NS: usize = 4;
    /// When this CPU last woke the reader. No counter.
    pub const LAST_WAKE_NS: usize = 5;
    /// The socket whose SYN was last answered with a RST: scratch that tells a refusal that reports itself from others.
    pub const LAST_REFUSED_SK: usize = 6;
    /// Records dropped because the ring was full: from here on one slot for each kind of record, because
    /// programs of different kinds can run on top of one another.
    pub const LOST: usize = 7;
    /// How many slots there are.
    pub const COUNT: usize = LOST + super::KIND_RECEIVE_RESET as usize + 1;
}
