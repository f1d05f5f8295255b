//! What a packet (`struct sk_buff`) tells.

use aya_ebpf::helpers::generated;
use tracer_common::{ABSENT, field};

use super::{Ports, read, read_at};
use crate::state::constants::offset;

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
        read(dst, field::RT_TYPE) == RTN_LOCAL
    } else {
        offset(field::RT6I_FLAGS) == ABSENT || read(dst, field::RT6I_FLAGS) & RTF_LOCAL != 0
    }
}

/// `skb_dst` (include/linux/skbuff.h).
#[inline(always)]
pub fn route(skb: u64) -> u64 {
    const SKB_DST_PTRMASK: u64 = !1;
    read(skb, field::SKB_REFDST) & SKB_DST_PTRMASK
}

/// `TCP_SKB_CB` (include/net/tcp.h).
#[inline(always)]
pub fn control_block(skb: u64) -> u64 {
    skb + u64::from(offset(field::SKB_CB))
}

/// The ports of a received segment, seen from this host: its destination is local.
#[inline(always)]
pub fn ports(skb: u64) -> Ports {
    ports_at(headers(skb).1)
}

/// The ports in a TCP header.
#[inline(always)]
pub fn ports_at(transport: u64) -> Ports {
    Ports { local: u16::from_be(read_at(transport + 2)), remote: u16::from_be(read_at(transport)) }
}

/// Where the payload of a received segment begins, if it is in the packet's own memory.
#[inline(always)]
pub fn payload_begin(skb: u64) -> u64 {
    let (_, transport) = headers(skb);
    transport + header_len(transport)
}

/// Bytes of a TCP header.
#[inline(always)]
pub fn header_len(transport: u64) -> u64 {
    u64::from(read_at::<u8>(transport + 12) >> 4) * 4
}

#[inline(always)]
pub fn ip_version(network: u64) -> u8 {
    read_at::<u8>(network) >> 4
}

/// Addresses of the IP and TCP headers of a packet.
#[inline(always)]
pub fn headers(skb: u64) -> (u64, u64) {
    let head = read(skb, field::SKB_HEAD);
    let network = u64::from(read(skb, field::SKB_NETWORK_HEADER));
    let transport = u64::from(read(skb, field::SKB_TRANSPORT_HEADER));
    (head + network, head + transport)
}

#[inline(always)]
pub fn read_address(address: u64, into: &mut [u8; 16], len: u32) {
    // SAFETY: `len` is 4 or 16, within the array; the helper checks the source.
    unsafe { generated::bpf_probe_read_kernel(into.as_mut_ptr().cast(), len, address as *const _) };
}
