//! Payload where it begins: of a packet. Read only for request lines.

use aya_ebpf::helpers::generated;
use tracer_common::{INSPECTED, Prefix, field};

use super::{pages, read, skb};
use crate::state::constants::offset;

/// How deep a queue's first packet can be: its tree (`lib/rbtree.c`) would then hold 2^8 packets or more, which is no
/// request.
const MAX_DEPTH: u32 = 16;

/// The segment that a passive reset answers.
#[inline(always)]
pub fn of_segment(prefix: &mut Prefix, skb: u64) {
    let begin = skb::payload_begin(skb);
    let end = read(skb, field::SKB_HEAD) + u64::from(read(skb, field::SKB_TAIL));
    of_packet(prefix, skb, begin, end.saturating_sub(begin))
}

/// The oldest packet that is not acknowledged (`tcp_rtx_queue_head`, include/net/tcp.h).
#[inline(always)]
pub fn of_unacknowledged(prefix: &mut Prefix, sk: u64) {
    let mut node = read(sk, field::SK_RTX_QUEUE);
    for _ in 0..MAX_DEPTH {
        let left = read(node, field::RB_LEFT);
        if left == 0 {
            break;
        }
        node = left;
    }
    if node == 0 {
        return;
    }
    let skb = node - u64::from(offset(field::SKB_RBNODE));
    // Headers are written on the copy that leaves: this one begins with payload.
    let linear = read(skb, field::SKB_LEN).wrapping_sub(read(skb, field::SKB_DATA_LEN));
    of_packet(prefix, skb, read(skb, field::SKB_DATA), u64::from(linear))
}

/// The packet's own `linear` bytes at `begin`, then those of its first page.
#[inline(always)]
fn of_packet(prefix: &mut Prefix, skb: u64, begin: u64, linear: u64) {
    let own = read_bytes(prefix, 0, begin, linear);
    let shared = read(skb, field::SKB_HEAD) + u64::from(read(skb, field::SKB_END));
    if read(shared, field::SHINFO_NR_FRAGS) == 0 {
        return;
    }
    let frag = shared + u64::from(offset(field::SHINFO_FRAGS));
    let Some(page) = pages::address(read(frag, field::FRAG_PAGE)) else { return };
    let begin = page + u64::from(read(frag, field::FRAG_OFFSET));
    read_bytes(prefix, own, begin, u64::from(read(frag, field::FRAG_LEN)));
}

/// Reads up to `len` bytes into the prefix behind its first `at`, less than [`INSPECTED`]. Returns how many.
#[inline(always)]
pub fn read_bytes(prefix: &mut Prefix, at: usize, address: u64, len: u64) -> usize {
    if at >= INSPECTED {
        return 0;
    }
    let len = less_than_inspected(len);
    // SAFETY: the prefix has room for twice as many as `INSPECTED` bytes; the helper checks the source.
    let failed = unsafe {
        generated::bpf_probe_read_kernel(prefix[at..].as_mut_ptr().cast(), len, address as *const _)
    };
    if failed == 0 { len as usize } else { 0 }
}

/// Reads up to `len` bytes of the current process into the prefix, less than [`INSPECTED`].
#[inline(always)]
pub fn read_user_bytes(prefix: &mut Prefix, address: u64, len: u64) {
    let len = less_than_inspected(len);
    // SAFETY: the prefix has room for `INSPECTED` bytes; the helper checks the source, and clears what it cannot read.
    unsafe { generated::bpf_probe_read_user(prefix.as_mut_ptr().cast(), len, address as *const _) };
}

/// Less than [`INSPECTED`] in any case. Older verifiers forget a limit that the compiler compared with some time ago:
/// here it is a mask right before the use, on a number that the compiler knows nothing of.
#[inline(always)]
fn less_than_inspected(len: u64) -> u32 {
    let limit = INSPECTED as u64 - 1;
    let len = if len < limit { len } else { limit };
    // SAFETY: a reference is valid for reads.
    (unsafe { core::ptr::read_volatile(&len) } & limit) as u32
}

/// Moves the prefix's content to the front, from `from` on: `memmove`, by a helper that does it in one piece.
#[inline(always)]
pub fn shift(prefix: &mut Prefix, from: usize) {
    let begin = prefix.as_ptr() as u64 + from as u64;
    // SAFETY: `INSPECTED` bytes fit in the prefix, before and after `from`; the helper copies forwards.
    unsafe {
        generated::bpf_probe_read_kernel(prefix.as_mut_ptr().cast(), INSPECTED as u32, begin as *const _)
    };
}
