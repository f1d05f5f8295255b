//! The only reader of kernel structs.
//!
//! What is known to be a TCP socket is read directly, as a [`Typed`] pointer. Of a plain address nothing is known, so it is read with
//! `bpf_probe_read_kernel`. Either way a wrong address yields zeroes, never a fault. Field names and their kernel sources are
//! listed in [`Field`].

use core::mem::MaybeUninit;

use aya_ebpf::helpers::{bpf_jiffies64, bpf_ktime_get_ns, bpf_skc_to_tcp_sock, generated};
use tracer_common::{
    ABSENT, FLAG_LINGER_ZERO, FLAG_NO_FILE, FLAG_ORPHAN, FLAG_PEER_FIN, FLAG_RETRANSMITTING, FLAG_SEGMENT,
    Field, LOOK, ROLE_CLIENT, ROLE_SERVER, ROLE_UNKNOWN, Record, SOCKET_FULL, SOCKET_LISTENER,
    SOCKET_TIME_WAIT, ServerKey, Window,
};

use crate::maps::{jiffy_ns, offset};

pub const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// `include/net/tcp_states.h`; the numbers are part of the kernel's ABI (`TCP_INFO`).
pub mod state {
    pub const ESTABLISHED: u8 = 1;
    pub const SYN_SENT: u8 = 2;
    pub const SYN_RECV: u8 = 3;
    pub const FIN_WAIT1: u8 = 4;
    pub const FIN_WAIT2: u8 = 5;
    pub const TIME_WAIT: u8 = 6;
    pub const CLOSE: u8 = 7;
    pub const CLOSE_WAIT: u8 = 8;
    pub const LAST_ACK: u8 = 9;
    pub const LISTEN: u8 = 10;
    pub const CLOSING: u8 = 11;
    pub const NEW_SYN_RECV: u8 = 12;
}

// `enum sock_flags` (include/net/sock.h), the same from 5.10 to 7.x.
const SOCK_DEAD: u64 = 1 << 0;
const SOCK_DONE: u64 = 1 << 1;
const SOCK_LINGER: u64 = 1 << 4;

#[inline(always)]
pub fn read_at<T: Copy + Default>(address: u64) -> T {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper checks the address, and writes zeroes where it cannot read: so whether it could need not be asked.
    unsafe {
        generated::bpf_probe_read_kernel(
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            address as *const _,
        );
        value.assume_init()
    }
}

/// Where a kernel object is, and how to read there.
pub trait Object: Copy {
    /// The address, as a number.
    fn address(self) -> u64;

    /// What is found `offset` bytes further on.
    fn load<T: Copy + Default>(self, offset: u32) -> T;
}

/// A plain address, of which the verifier knows nothing.
impl Object for u64 {
    #[inline(always)]
    fn address(self) -> u64 {
        self
    }

    #[inline(always)]
    fn load<T: Copy + Default>(self, offset: u32) -> T {
        read_at(self + u64::from(offset))
    }
}

/// A pointer whose type the verifier knows: no load needs a helper. Offsets are constants to the verifier, so it can compare each
/// load with the type.
#[derive(Clone, Copy)]
pub struct Typed(u64);

impl Typed {
    /// An argument of a typed program.
    #[inline(always)]
    pub fn argument(argument: u64) -> Self {
        Self(argument)
    }

    /// Takes the `struct sock *` of a typed program for a `struct tcp_sock *`. `None` for what is no full TCP socket:
    /// `inet_sock_set_state` also fires for DCCP, SCTP and MPTCP's outer sockets.
    #[inline(always)]
    pub fn tcp_sock(sk: u64) -> Option<Self> {
        // SAFETY: the verifier admits pointers to sockets only.
        let sk = unsafe { bpf_skc_to_tcp_sock(sk as *mut _) };
        (!sk.is_null()).then_some(Self(sk as u64))
    }
}

impl Object for Typed {
    #[inline(always)]
    fn address(self) -> u64 {
        self.0
    }

    #[inline(always)]
    fn load<T: Copy + Default>(self, offset: u32) -> T {
        // SAFETY: the verifier refuses the program unless the type has such a field there; should the memory be gone, the
        // kernel reads zeroes. Volatile, because a narrower load than the field would be refused.
        unsafe { core::ptr::read_volatile((self.0 + u64::from(offset)) as *const T) }
    }
}

#[inline(always)]
pub fn read<T: Copy + Default>(object: impl Object, field: Field) -> T {
    let offset = offset(field);
    if offset == ABSENT {
        return T::default();
    }
    object.load(offset)
}

#[inline(always)]
fn read_address(address: u64, into: &mut [u8; 16], len: u32) {
    // SAFETY: `len` is 4 or 16, within the array; the helper checks the source.
    unsafe { generated::bpf_probe_read_kernel(into.as_mut_ptr().cast(), len, address as *const _) };
}

/// Reads up to `len` bytes into the window behind its first `at`, less than [`LOOK`]. Returns how many.
#[inline(always)]
pub fn read_bytes(window: &mut Window, at: usize, address: u64, len: u64) -> usize {
    if at >= LOOK {
        return 0;
    }
    let len = less_than_a_look(len);
    // SAFETY: the window has room for twice a `LOOK`; the helper checks the source.
    let failed = unsafe {
        generated::bpf_probe_read_kernel(window[at..].as_mut_ptr().cast(), len, address as *const _)
    };
    if failed == 0 { len as usize } else { 0 }
}

/// Reads up to `len` bytes of the current process into the window, less than [`LOOK`].
#[inline(always)]
pub fn read_user_bytes(window: &mut Window, address: u64, len: u64) {
    let len = less_than_a_look(len);
    // SAFETY: the window has room for a `LOOK`; the helper checks the source, and clears what it cannot read.
    unsafe { generated::bpf_probe_read_user(window.as_mut_ptr().cast(), len, address as *const _) };
}

/// Less than a [`LOOK`] in any case. Older verifiers forget a limit that the compiler compared with some time ago: here it is a mask
/// right before the use, on a number that the compiler knows nothing of.
#[inline(always)]
fn less_than_a_look(len: u64) -> u32 {
    let limit = LOOK as u64 - 1;
    let len = if len < limit { len } else { limit };
    // SAFETY: a reference is valid for reads.
    (unsafe { core::ptr::read_volatile(&len) } & limit) as u32
}

/// Moves the window's content to the front, from `from` on: `memmove`, by a helper that does it in one piece.
#[inline(always)]
pub fn shift(window: &mut Window, from: usize) {
    let begin = window.as_ptr() as u64 + from as u64;
    // SAFETY: `LOOK` bytes fit in the window, before and after `from`; the helper copies forwards.
    unsafe { generated::bpf_probe_read_kernel(window.as_mut_ptr().cast(), LOOK as u32, begin as *const _) };
}

#[inline(always)]
pub fn state_of(sk: impl Object) -> u8 {
    read(sk, Field::SkcState)
}

/// Something already ended this socket: a received RST, a timeout or `tcp_abort` set `sk_err`.
#[inline(always)]
pub fn has_error(sk: impl Object) -> bool {
    read::<u32>(sk, Field::SkErr) != 0
}

/// Whether closing this socket in FIN_WAIT2 sends a RST instead of leaving a time-wait mini-socket:
/// unread payload, `TCP_LINGER2` below 0 or `SO_LINGER` 0 (`__tcp_close`, net/ipv4/tcp.c).
#[inline(always)]
pub fn close_resets(sk: impl Object) -> bool {
    let flags: u64 = read(sk, Field::SkcFlags);
    let unread = read::<u32>(sk, Field::RcvNxt).wrapping_sub(read(sk, Field::CopiedSeq));
    // The peer's FIN takes a sequence number and is no payload.
    unread > u32::from(flags & SOCK_DONE != 0)
        || read::<i32>(sk, Field::Linger2) < 0
        || lingers_zero(sk, flags)
}

#[inline(always)]
fn lingers_zero(sk: impl Object, flags: u64) -> bool {
    flags & SOCK_LINGER != 0 && read::<u64>(sk, Field::SkLingertime) == 0
}

/// The clock of every record.
#[inline(always)]
pub fn now_ns() -> u64 {
    // SAFETY: no arguments, cannot fail.
    unsafe { bpf_ktime_get_ns() }
}

/// `tcp_jiffies32` (include/net/tcp.h).
#[inline(always)]
fn jiffies() -> u32 {
    // SAFETY: no arguments, cannot fail.
    (unsafe { bpf_jiffies64() }) as u32
}

/// Whether this end has sent no payload for `at_least` jiffies.
#[inline(always)]
pub fn silent(sk: impl Object, at_least: u32) -> bool {
    jiffies().wrapping_sub(read(sk, Field::Lsndtime)) >= at_least
}

/// End of what the application wrote.
#[inline(always)]
pub fn write_seq(sk: impl Object) -> u32 {
    read(sk, Field::WriteSeq)
}

/// How far the application has read.
#[inline(always)]
pub fn copied_seq(sk: impl Object) -> u32 {
    read(sk, Field::CopiedSeq)
}

/// Next sequence number expected from the peer.
#[inline(always)]
pub fn rcv_nxt(sk: impl Object) -> u32 {
    read(sk, Field::RcvNxt)
}

/// Whether payload passed in either direction.
#[inline(always)]
pub fn carried_payload(sk: impl Object) -> bool {
    read::<u64>(sk, Field::BytesSent) | read::<u64>(sk, Field::BytesReceived) != 0
}

/// See `Record::sent_ns`.
#[inline(always)]
fn sent_ns(sk: impl Object) -> u64 {
    read::<u64>(sk, Field::FirstTxMstamp).wrapping_mul(1000)
}

/// When payload was last sent, on the clock of [`now_ns`].
///
/// The exact time is that of one segment, which may have been an older one or a FIN: it counts only where it agrees with the
/// tick in which payload was last sent.
#[inline(always)]
pub fn last_sent_ns(sk: impl Object, now: u64) -> u64 {
    let ticks = jiffies().wrapping_sub(read(sk, Field::Lsndtime));
    let by_tick = now.saturating_sub(u64::from(ticks) * jiffy_ns());
    let exact = sent_ns(sk);
    let agrees = exact.wrapping_add(jiffy_ns()).wrapping_sub(by_tick) <= 2 * jiffy_ns();
    if agrees { exact.min(now) } else { by_tick }
}

/// Which end of the connection this is, as long as it has sent no FIN: see `role` in `tracer/src/decode.rs`.
#[inline(always)]
pub fn role(sk: impl Object) -> u32 {
    let in_flight = read::<u32>(sk, Field::SndNxt).wrapping_sub(read(sk, Field::SndUna));
    let used = read::<u64>(sk, Field::BytesAcked).wrapping_add(u64::from(in_flight));
    let payload = read::<u64>(sk, Field::BytesSent).wrapping_sub(read(sk, Field::BytesRetrans));
    match used.wrapping_sub(payload) {
        0 => ROLE_SERVER,
        1 => ROLE_CLIENT,
        _ => ROLE_UNKNOWN,
    }
}

/// The server's end of a connection.
#[inline(always)]
pub fn server(sk: impl Object, role: u32) -> ServerKey {
    let mut key = ServerKey { addr: [0; 16], port: 0, family: read(sk, Field::SkcFamily), role };
    let (v4, v6) = if role == ROLE_SERVER {
        key.port = u16::from_be(read(sk, Field::InetSport));
        (Field::SkcRcvSaddr, Field::SkcV6RcvSaddr)
    } else {
        key.port = u16::from_be(read(sk, Field::SkcDport));
        (Field::SkcDaddr, Field::SkcV6Daddr)
    };
    key.addr = address(sk, key.family, v4, v6);
    key
}

/// Whether payload of ours is not acknowledged yet, or not even sent.
#[inline(always)]
pub fn unfinished(sk: impl Object) -> bool {
    read::<u32>(sk, Field::SndUna) != read::<u32>(sk, Field::WriteSeq)
}

/// What every kind of socket has: `struct sock_common`.
#[inline(always)]
fn common(record: &mut Record, sk: impl Object) {
    record.netns = netns(read(sk, Field::SkcNet));
    record.family = read(sk, Field::SkcFamily);
    record.local_port = read(sk, Field::SkcNum);
    record.remote_port = u16::from_be(read(sk, Field::SkcDport));
    record.local_addr = address(sk, record.family, Field::SkcRcvSaddr, Field::SkcV6RcvSaddr);
    record.remote_addr = address(sk, record.family, Field::SkcDaddr, Field::SkcV6Daddr);
}

/// An address that has one field for IPv4 and another for IPv6.
#[inline(always)]
fn address(sk: impl Object, family: u16, v4: Field, v6: Field) -> [u8; 16] {
    let words: [u32; 4] = if family == AF_INET { [read(sk, v4), 0, 0, 0] } else { read(sk, v6) };
    let mut address = [0; 16];
    address.copy_from_slice(words.map(u32::to_ne_bytes).as_flattened());
    address
}

#[inline(always)]
fn netns(net: u64) -> u32 {
    read(net, Field::NetInum)
}

/// An ordinary TCP socket, with all it remembers of its traffic.
#[inline(always)]
pub fn connection(record: &mut Record, sk: impl Object) {
    record.socket = SOCKET_FULL;
    common(record, sk);
    // `skc_num` is 0 once the port was given back (`__inet_put_port`); `inet_sport` stays.
    record.local_port = u16::from_be(read(sk, Field::InetSport));

    let now = jiffies();
    record.since_sent = now.wrapping_sub(read(sk, Field::Lsndtime));
    record.since_received = now.wrapping_sub(read(sk, Field::IcskAckLrcvtime));
    record.since_ack = now.wrapping_sub(read(sk, Field::RcvTstamp));
    record.bytes_sent = read(sk, Field::BytesSent);
    record.bytes_received = read(sk, Field::BytesReceived);
    record.bytes_acked = read(sk, Field::BytesAcked);
    record.bytes_retrans = read(sk, Field::BytesRetrans);
    record.data_segs_out = read(sk, Field::DataSegsOut);
    record.data_segs_in = read(sk, Field::DataSegsIn);
    record.snd_una = read(sk, Field::SndUna);
    record.snd_nxt = read(sk, Field::SndNxt);
    record.snd_wl1 = read(sk, Field::SndWl1);
    record.write_seq = read(sk, Field::WriteSeq);
    record.rcv_nxt = read(sk, Field::RcvNxt);
    record.copied_seq = read(sk, Field::CopiedSeq);
    record.srtt_us = read(sk, Field::SrttUs);
    record.sent_ns = sent_ns(sk);
    record.probes_out = read(sk, Field::IcskProbesOut);

    let flags: u64 = read(sk, Field::SkcFlags);
    if flags & SOCK_DEAD != 0 {
        record.flags |= FLAG_ORPHAN;
    }
    if flags & SOCK_DONE != 0 {
        record.flags |= FLAG_PEER_FIN;
    }
    if lingers_zero(sk, flags) {
        record.flags |= FLAG_LINGER_ZERO;
    }
    if read::<u32>(sk, Field::RetransOut) != 0 || read::<u8>(sk, Field::IcskRetransmits) != 0 {
        record.flags |= FLAG_RETRANSMITTING;
    }
    if read::<u64>(sk, Field::SkSocket) == 0 {
        record.flags |= FLAG_NO_FILE;
    }
}

/// A time-wait mini-socket: it knows its addresses and sequence numbers, nothing else.
#[inline(always)]
pub fn time_wait(record: &mut Record, sk: u64) {
    record.socket = SOCKET_TIME_WAIT;
    common(record, sk);
    record.rcv_nxt = read(sk, Field::SkcTwRcvNxt);
}

/// A listener knows no peer: the addresses come from the segment.
#[inline(always)]
pub fn listener(record: &mut Record, sk: u64, skb: u64) {
    addresses(record, skb);
    record.socket = SOCKET_LISTENER;
    record.netns = netns(read(sk, Field::SkcNet));
}

/// Whether `tcp_v4_send_reset` or `tcp_v6_send_reset` goes on to answer `skb` with a RST: never a RST with a RST,
/// and without a socket only segments that were addressed to this host (up to 6.9).
#[inline(always)]
pub fn is_answered(sk: u64, skb: u64) -> bool {
    const TCP_RST: u8 = 0x04;
    const RTN_LOCAL: u16 = 2;
    const RTF_LOCAL: u32 = 0x8000_0000;
    let (network, transport) = headers(skb);
    if read_at::<u8>(transport + 13) & TCP_RST != 0 {
        return false;
    }
    let dst = route(skb);
    if sk != 0 {
        true
    } else if ip_version(network) == 4 {
        read::<u16>(dst, Field::RtType) == RTN_LOCAL
    } else {
        offset(Field::Rt6iFlags) == ABSENT || read::<u32>(dst, Field::Rt6iFlags) & RTF_LOCAL != 0
    }
}

/// `skb_dst` (include/linux/skbuff.h).
#[inline(always)]
fn route(skb: u64) -> u64 {
    const SKB_DST_PTRMASK: u64 = !1;
    read::<u64>(skb, Field::SkbRefdst) & SKB_DST_PTRMASK
}

/// No socket at all: the namespace comes from the device of the segment's route, as in
/// `tcp_v4_send_reset` (net/ipv4/tcp_ipv4.c).
#[inline(always)]
pub fn no_socket(record: &mut Record, skb: u64) {
    addresses(record, skb);
    let device: u64 = read(route(skb), Field::DstDev);
    record.netns = netns(read(device, Field::DevNdNet));
}

/// The segment that a passive reset answers.
#[inline(always)]
pub fn segment(record: &mut Record, skb: u64) {
    let (network, transport) = headers(skb);
    record.flags |= FLAG_SEGMENT;
    record.segment_seq = u32::from_be(read_at(transport + 4));
    record.segment_ack = u32::from_be(read_at(transport + 8));
    record.segment_flags = read_at(transport + 13);
    let header = header_len(transport) as u32;
    // The IP length survives however much of the packet was pulled, trimmed or merged.
    let before = (transport - network) as u32;
    let length = if ip_version(network) == 4 {
        u32::from(u16::from_be(read_at(network + 2)))
    } else {
        u32::from(u16::from_be(read_at(network + 4))) + 40
    };
    record.segment_len = length.saturating_sub(before + header);
}

/// Where the payload of a received segment begins, if it is in the packet's own memory.
#[inline(always)]
pub fn payload_begin(skb: u64) -> u64 {
    let (_, transport) = headers(skb);
    transport + header_len(transport)
}

/// Bytes of a TCP header.
#[inline(always)]
fn header_len(transport: u64) -> u64 {
    u64::from(read_at::<u8>(transport + 12) >> 4) * 4
}

/// Takes both addresses from the segment, seen from this host: its destination is local.
#[inline(always)]
fn addresses(record: &mut Record, skb: u64) {
    let (network, transport) = headers(skb);
    record.remote_port = u16::from_be(read_at(transport));
    record.local_port = u16::from_be(read_at(transport + 2));
    if ip_version(network) == 4 {
        record.family = AF_INET;
        read_address(network + 12, &mut record.remote_addr, 4);
        read_address(network + 16, &mut record.local_addr, 4);
    } else {
        record.family = AF_INET6;
        read_address(network + 8, &mut record.remote_addr, 16);
        read_address(network + 24, &mut record.local_addr, 16);
    }
}

#[inline(always)]
fn ip_version(network: u64) -> u8 {
    read_at::<u8>(network) >> 4
}

/// Addresses of the IP and TCP headers of a packet.
#[inline(always)]
fn headers(skb: u64) -> (u64, u64) {
    let head: u64 = read(skb, Field::SkbHead);
    let network = u64::from(read::<u16>(skb, Field::SkbNetworkHeader));
    let transport = u64::from(read::<u16>(skb, Field::SkbTransportHeader));
    (head + network, head + transport)
}

/// Whether a socket in this state is a listener or one of its unfinished handshakes.
#[inline(always)]
pub fn is_listener(sk_state: u8) -> bool {
    sk_state == state::LISTEN || sk_state == state::NEW_SYN_RECV
}
