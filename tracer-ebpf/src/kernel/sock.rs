//! What a `struct sock` of TCP tells.

use tracer_common::{Field, ROLE_CLIENT, ROLE_SERVER, ROLE_UNKNOWN, ServerKey, field};

use super::{AF_INET, Object, Ports, clock::jiffies, read};
use crate::state::constants::{jiffy_ns, offset};

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
pub const SOCK_DEAD: u64 = 1 << 0;
pub const SOCK_DONE: u64 = 1 << 1;
pub const SOCK_LINGER: u64 = 1 << 4;

#[inline(always)]
pub fn state_of(sk: impl Object) -> u8 {
    read(sk, field::SKC_STATE)
}

/// Whether a socket in this state is a listener or one of its unfinished handshakes.
#[inline(always)]
pub fn is_listener(sk_state: u8) -> bool {
    sk_state == state::LISTEN || sk_state == state::NEW_SYN_RECV
}

/// What ended this socket: a received RST, a timeout, `tcp_abort` or the network, as an errno; 0 if nothing did.
#[inline(always)]
pub fn error(sk: impl Object) -> u32 {
    read(sk, field::SK_ERR)
}

/// What the network said of the SYN while the application's `connect()` held the socket, as an errno; 0 if nothing. The
/// kernel then goes on trying, and tells the application alone (`tcp_v4_err`, net/ipv4/tcp_ipv4.c): once that has
/// asked, only the queued message remains (`ip_icmp_error`, net/ipv4/ip_sockglue.c).
#[inline(always)]
pub fn connect_error(sk: impl Object) -> u32 {
    let soft = read(sk, field::SK_ERR_SOFT);
    if soft != 0 || read(sk, field::SK_ERRORS) == 0 {
        return soft;
    }
    let message = read(sk, field::SK_FIRST_ERROR) + u64::from(offset(field::SKB_CB));
    read(message, field::EXTERR_ERRNO)
}

/// Whether its oldest segment in flight, or its SYN, was sent more than once.
#[inline(always)]
pub fn sent_again(sk: impl Object) -> bool {
    read(sk, field::ICSK_RETRANSMITS) != 0
}

/// Whether closing this socket in FIN_WAIT2 sends a RST instead of leaving a time-wait mini-socket:
/// unread payload, `TCP_LINGER2` below 0 or `SO_LINGER` 0 (`__tcp_close`, net/ipv4/tcp.c).
#[inline(always)]
pub fn close_resets(sk: impl Object) -> bool {
    let flags = read(sk, field::SKC_FLAGS);
    let unread = read(sk, field::RCV_NXT).wrapping_sub(read(sk, field::COPIED_SEQ));
    // The peer's FIN takes a sequence number and is no payload.
    unread > u32::from(flags & SOCK_DONE != 0) || read(sk, field::LINGER2) < 0 || lingers_zero(sk, flags)
}

#[inline(always)]
pub fn lingers_zero(sk: impl Object, flags: u64) -> bool {
    flags & SOCK_LINGER != 0 && read(sk, field::SK_LINGERTIME) == 0
}

/// Whether this end has sent no payload for `at_least` jiffies.
#[inline(always)]
pub fn silent(sk: impl Object, at_least: u32) -> bool {
    jiffies().wrapping_sub(read(sk, field::LSNDTIME)) >= at_least
}

/// Whether payload of ours is not acknowledged yet, or not even sent.
#[inline(always)]
pub fn unfinished(sk: impl Object) -> bool {
    read(sk, field::SND_UNA) != read(sk, field::WRITE_SEQ)
}

/// End of what the application wrote.
#[inline(always)]
pub fn write_seq(sk: impl Object) -> u32 {
    read(sk, field::WRITE_SEQ)
}

/// How far the application has read.
#[inline(always)]
pub fn copied_seq(sk: impl Object) -> u32 {
    read(sk, field::COPIED_SEQ)
}

/// Next sequence number expected from the peer.
#[inline(always)]
pub fn rcv_nxt(sk: impl Object) -> u32 {
    read(sk, field::RCV_NXT)
}

/// Whether payload passed in either direction.
#[inline(always)]
pub fn carried_payload(sk: impl Object) -> bool {
    read(sk, field::BYTES_SENT) | read(sk, field::BYTES_RECEIVED) != 0
}

/// See `Record::sent_ns`.
#[inline(always)]
pub fn sent_ns(sk: impl Object) -> u64 {
    read(sk, field::FIRST_TX_MSTAMP).wrapping_mul(1000)
}

/// When payload was last sent, on the clock of [`now_ns`].
///
/// The exact time is that of one segment, which may have been an older one or a FIN: it counts only where it agrees
/// with the tick in which payload was last sent.
#[inline(always)]
pub fn last_sent_ns(sk: impl Object, now: u64) -> u64 {
    let ticks = jiffies().wrapping_sub(read(sk, field::LSNDTIME));
    let by_tick = now.saturating_sub(u64::from(ticks) * jiffy_ns());
    let exact = sent_ns(sk);
    let agrees = exact.wrapping_add(jiffy_ns()).wrapping_sub(by_tick) <= 2 * jiffy_ns();
    if agrees { exact.min(now) } else { by_tick }
}

/// Whether the client sent last, as far as the times tell: a request without an answer. Where one tick hides the order,
/// more segments from the client than from the server count as that.
///
/// All that this end sent must be acknowledged, its `fins` among it.
#[inline(always)]
pub fn request_open(sk: impl Object, fins: u64) -> bool {
    let sent_later = read(sk, field::LSNDTIME).wrapping_sub(read(sk, field::ICSK_ACK_LRCVTIME)) as i32;
    let (out, in_) = (read(sk, field::DATA_SEGS_OUT), read(sk, field::DATA_SEGS_IN));
    let sent_last = out != 0 && (sent_later > 0 || (sent_later == 0 && out > in_));
    let received_last = in_ != 0 && (sent_later < 0 || (sent_later == 0 && in_ > out));
    if !sent_last && !received_last {
        return false;
    }
    // As in `beyond_payload`; but what was sent twice only adds to it, and is seldom in the cache: it comes last.
    let of_opener = u64::from(sent_last);
    let beyond_sent =
        read(sk, field::BYTES_ACKED).wrapping_sub(read(sk, field::BYTES_SENT)).wrapping_sub(fins);
    beyond_sent as i64 <= of_opener as i64
        && beyond_sent.wrapping_add(read(sk, field::BYTES_RETRANS)) == of_opener
}

/// Which end of the connection this is, as long as it has sent no FIN: see `role` in the decoder.
#[inline(always)]
pub fn role(sk: impl Object) -> u32 {
    let in_flight = read(sk, field::SND_NXT).wrapping_sub(read(sk, field::SND_UNA));
    role_by(beyond_payload(sk).wrapping_add(u64::from(in_flight)))
}

/// How much more is acknowledged than the payload that was sent.
#[inline(always)]
fn beyond_payload(sk: impl Object) -> u64 {
    let payload = read(sk, field::BYTES_SENT).wrapping_sub(read(sk, field::BYTES_RETRANS));
    read(sk, field::BYTES_ACKED).wrapping_sub(payload)
}

/// By what was sent besides payload and FINs: a SYN, which counts at the active opener only.
#[inline(always)]
fn role_by(beyond_payload: u64) -> u32 {
    match beyond_payload {
        0 => ROLE_SERVER,
        1 => ROLE_CLIENT,
        _ => ROLE_UNKNOWN,
    }
}

/// The local port of a connection: `skc_num` is 0 once it was given back (`__inet_put_port`,
/// net/ipv4/inet_hashtables.c), `inet_sport` stays.
#[inline(always)]
pub fn local_port(sk: impl Object) -> u16 {
    u16::from_be(read(sk, field::INET_SPORT))
}

#[inline(always)]
pub fn remote_port(sk: impl Object) -> u16 {
    u16::from_be(read(sk, field::SKC_DPORT))
}

#[inline(always)]
pub fn ports(sk: impl Object) -> Ports {
    Ports { local: local_port(sk), remote: remote_port(sk) }
}

/// The server's end of a connection.
#[inline(always)]
pub fn server(sk: impl Object, role: u32) -> ServerKey {
    let mut key = ServerKey { addr: [0; 16], port: 0, family: read(sk, field::SKC_FAMILY), role };
    let (v4, v6) = if role == ROLE_SERVER {
        key.port = local_port(sk);
        (field::SKC_RCV_SADDR, field::SKC_V6_RCV_SADDR)
    } else {
        key.port = remote_port(sk);
        (field::SKC_DADDR, field::SKC_V6_DADDR)
    };
    key.addr = address(sk, key.family, v4, v6);
    key
}

/// An address that has one field for IPv4 and another for IPv6.
#[inline(always)]
pub fn address(sk: impl Object, family: u16, v4: Field<u32>, v6: Field<[u32; 4]>) -> [u8; 16] {
    let words: [u32; 4] = if family == AF_INET { [read(sk, v4), 0, 0, 0] } else { read(sk, v6) };
    let mut address = [0; 16];
    address.copy_from_slice(words.map(u32::to_ne_bytes).as_flattened());
    address
}

#[inline(always)]
pub fn netns(net: impl Object) -> u32 {
    read(net, field::NET_INUM)
}
