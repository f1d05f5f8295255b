//! Payload where it begins: of a packet. Read only for request lines.

use aya_ebpf::helpers::generated;
use tracer_common::{Field, LOOK, Window};

use super::{pages, read, skb};
use crate::state::constants::offset;

/// How deep a queue's first packet can be: its tree (`lib/rbtree.c`) would then hold 2^8 packets or more, which is no request.
const MAX_DEPTH: u32 = 16;

/// The segment that a passive reset answers.
#[inline(always)]
pub fn of_segment(window: &mut Window, skb: u64) {
    let begin = skb::payload_begin(skb);
    let end = read::<u64>(skb, Field::SkbHead) + u64::from(read::<u32>(skb, Field::SkbTail));
    of_packet(window, skb, begin, end.saturating_sub(begin))
}

/// The oldest packet that is not acknowledged (`tcp_rtx_queue_head`, include/net/tcp.h).
#[inline(always)]
pub fn of_unacknowledged(window: &mut Window, sk: u64) {
    let mut node: u64 = read(sk, Field::SkRtxQueue);
    for _ in 0..MAX_DEPTH {
        let left: u64 = read(node, Field::RbLeft);
        if left == 0 {
            break;
        }
        node = left;
    }
    if node == 0 {
        return;
    }
    let skb = node - u64::from(offset(Field::SkbRbnode));
    // Headers are written on the copy that leaves: this one begins with payload.
    let linear = read::<u32>(skb, Field::SkbLen).wrapping_sub(read(skb, Field::SkbDataLen));
    of_packet(window, skb, read(skb, Field::SkbData), u64::from(linear))
}

/// The packet's own `linear` bytes at `begin`, then those of its first page.
#[inline(always)]
fn of_packet(window: &mut Window, skb: u64, begin: u64, linear: u64) {
    let own = read_bytes(window, 0, begin, linear);
    let shared = read::<u64>(skb, Field::SkbHead) + u64::from(read::<u32>(skb, Field::SkbEnd));
    if read::<u8>(shared, Field::ShinfoNrFrags) == 0 {
        return;
    }
    let frag = shared + u64::from(offset(Field::ShinfoFrags));
    let Some(page) = pages::address(read(frag, Field::FragPage)) else { return };
    let begin = page + u64::from(read::<u32>(frag, Field::FragOffset));
    read_bytes(window, own, begin, u64::from(read::<u32>(frag, Field::FragLen)));
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
