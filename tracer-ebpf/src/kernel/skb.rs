//! What a packet (`struct sk_buff`) tells.

use aya_ebpf::helpers::generated;
use tracer_common::{ABSENT, Field};

use super::{read, read_at};
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
        read::<u16>(dst, Field::RtType) == RTN_LOCAL
    } else {
        offset(Field::Rt6iFlags) == ABSENT || read::<u32>(dst, Field::Rt6iFlags) & RTF_LOCAL != 0
    }
}

/// `skb_dst` (include/linux/skbuff.h).
#[inline(always)]
pub fn route(skb: u64) -> u64 {
    const SKB_DST_PTRMASK: u64 = !1;
    read::<u64>(skb, Field::SkbRefdst) & SKB_DST_PTRMASK
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
    let head: u64 = read(skb, Field::SkbHead);
    let network = u64::from(read::<u16>(skb, Field::SkbNetworkHeader));
    let transport = u64::from(read::<u16>(skb, Field::SkbTransportHeader));
    (head + network, head + transport)
}

#[inline(always)]
pub fn read_address(address: u64, into: &mut [u8; 16], len: u32) {
    // SAFETY: `len` is 4 or 16, within the array; the helper checks the source.
    unsafe { generated::bpf_probe_read_kernel(into.as_mut_ptr().cast(), len, address as *const _) };
}
