//! Fills a record with what the kernel knows of a socket or a packet.

pub mod request_line;
pub mod requests;

use tracer_common::{
    FLAG_DETACHED, FLAG_LINGER_ZERO, FLAG_ORPHAN, FLAG_PEER_FIN, FLAG_RETRANSMITTING, FLAG_SEGMENT, Record,
    SOCKET_FULL, SOCKET_LISTENER, SOCKET_TIME_WAIT, field,
};

use crate::kernel::{
    AF_INET, AF_INET6, Object,
    clock::jiffies,
    read, read_at,
    skb::{self, headers, ip_version, read_address, route},
    sock::{self, SOCK_DEAD, SOCK_DONE, address, lingers_zero, netns, sent_again, sent_ns},
};

/// What every kind of socket has: `struct sock_common`.
#[inline(always)]
fn common(record: &mut Record, sk: impl Object) {
    record.netns = netns(sk.follow(field::SKC_NET));
    record.family = read(sk, field::SKC_FAMILY);
    record.local_port = read(sk, field::SKC_NUM);
    record.remote_port = sock::remote_port(sk);
    record.local_addr = address(sk, record.family, field::SKC_RCV_SADDR, field::SKC_V6_RCV_SADDR);
    record.remote_addr = address(sk, record.family, field::SKC_DADDR, field::SKC_V6_DADDR);
}

/// An ordinary TCP socket, with all it remembers of its traffic.
#[inline(always)]
pub fn connection(record: &mut Record, sk: impl Object) {
    record.socket = SOCKET_FULL;
    common(record, sk);
    // Its `skc_num` may be 0 already.
    record.local_port = sock::local_port(sk);

    let now = jiffies();
    record.since_sent = now.wrapping_sub(read(sk, field::LSNDTIME));
    record.since_received = now.wrapping_sub(read(sk, field::ICSK_ACK_LRCVTIME));
    record.since_ack = now.wrapping_sub(read(sk, field::RCV_TSTAMP));
    record.bytes_sent = read(sk, field::BYTES_SENT);
    record.bytes_received = read(sk, field::BYTES_RECEIVED);
    record.bytes_acked = read(sk, field::BYTES_ACKED);
    record.bytes_retrans = read(sk, field::BYTES_RETRANS);
    record.data_segs_out = read(sk, field::DATA_SEGS_OUT);
    record.data_segs_in = read(sk, field::DATA_SEGS_IN);
    record.snd_una = read(sk, field::SND_UNA);
    record.snd_nxt = read(sk, field::SND_NXT);
    record.snd_wl1 = read(sk, field::SND_WL1);
    record.write_seq = read(sk, field::WRITE_SEQ);
    record.rcv_nxt = read(sk, field::RCV_NXT);
    record.copied_seq = read(sk, field::COPIED_SEQ);
    record.srtt_us = read(sk, field::SRTT_US);
    record.sent_ns = sent_ns(sk);
    record.probes_out = read(sk, field::ICSK_PROBES_OUT);
    record.last_read_ns = read(sk, field::RCVQ_TIME).wrapping_mul(1000);
    record.rcv_rtt_us = read(sk, field::RCV_RTT_US);
    record.rcv_wup = read(sk, field::RCV_WUP);
    record.error = read(sk, field::SK_ERR);
    record.shutdown = read(sk, field::SK_SHUTDOWN);

    let flags = read(sk, field::SKC_FLAGS);
    if flags & SOCK_DEAD != 0 {
        record.flags |= FLAG_ORPHAN;
    }
    if flags & SOCK_DONE != 0 {
        record.flags |= FLAG_PEER_FIN;
    }
    if lingers_zero(sk, flags) {
        record.flags |= FLAG_LINGER_ZERO;
    }
    if read(sk, field::RETRANS_OUT) != 0 || sent_again(sk) {
        record.flags |= FLAG_RETRANSMITTING;
    }
    if read(sk, field::SK_SOCKET) == 0 {
        record.flags |= FLAG_DETACHED;
    }
}

/// A time-wait mini-socket: it knows its addresses and sequence numbers, nothing else.
#[inline(always)]
pub fn time_wait(record: &mut Record, sk: u64) {
    record.socket = SOCKET_TIME_WAIT;
    common(record, sk);
    record.rcv_nxt = read(sk, field::SKC_TW_RCV_NXT);
}

/// A listener knows no peer: the addresses come from the segment.
#[inline(always)]
pub fn listener(record: &mut Record, sk: u64, skb: u64) {
    addresses(record, skb);
    record.socket = SOCKET_LISTENER;
    record.netns = netns(sk.follow(field::SKC_NET));
}

/// No socket at all: the namespace comes from the device of the segment's route, as in
/// `tcp_v4_send_reset` (net/ipv4/tcp_ipv4.c).
#[inline(always)]
pub fn no_socket(record: &mut Record, skb: u64) {
    addresses(record, skb);
    let device: u64 = read(route(skb), field::DST_DEV);
    record.netns = netns(read(device, field::DEV_ND_NET));
}

/// The segment that a passive reset answers, as TCP noted it (`tcp_v4_fill_cb`, net/ipv4/tcp_ipv4.c). Its headers do not
/// tell of those that were merged into it while the socket was in use (`tcp_add_to_backlog`, there too).
#[inline(always)]
pub fn segment(record: &mut Record, skb: u64) {
    const FIN_AND_SYN: u8 = 0x03;
    let (noted, (_, transport)) = (skb::control_block(skb), headers(skb));
    record.flags |= FLAG_SEGMENT;
    record.segment_flags = read_at(transport + 13);
    record.segment_seq = read(noted, field::CB_SEQ);
    record.segment_ack = read(noted, field::CB_ACK_SEQ);
    let used = read(noted, field::CB_END_SEQ).wrapping_sub(record.segment_seq);
    record.segment_len = used.saturating_sub((record.segment_flags & FIN_AND_SYN).count_ones());
}

/// Takes both addresses from the segment, seen from this host: its destination is local.
#[inline(always)]
fn addresses(record: &mut Record, skb: u64) {
    let (network, transport) = headers(skb);
    let ports = skb::ports_at(transport);
    record.remote_port = ports.remote;
    record.local_port = ports.local;
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
