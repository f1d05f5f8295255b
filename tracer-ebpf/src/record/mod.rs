//! Fills a record with what the kernel knows of a socket or a packet.

pub mod request_line;
pub mod requests;

use tracer_common::{
    FLAG_LINGER_ZERO, FLAG_NO_FILE, FLAG_ORPHAN, FLAG_PEER_FIN, FLAG_RETRANSMITTING, FLAG_SEGMENT, Field,
    Record, SOCKET_FULL, SOCKET_LISTENER, SOCKET_TIME_WAIT,
};

use crate::kernel::{
    AF_INET, AF_INET6, Object,
    clock::jiffies,
    read, read_at,
    skb::{header_len, headers, ip_version, read_address, route},
    sock::{SOCK_DEAD, SOCK_DONE, address, lingers_zero, netns, sent_ns},
};

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
