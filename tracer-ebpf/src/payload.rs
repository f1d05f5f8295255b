//! Payload where it begins: of a packet, or of what an application hands over. Read only for request lines.

use tracer_common::{Field, Window};

use crate::{
    maps, pages,
    sock::{self, Typed, read, read_bytes, read_user_bytes},
};

/// How deep a queue's first packet can be: its tree (`lib/rbtree.c`) would then hold 2^8 packets or more, which is no request.
const MAX_DEPTH: u32 = 16;

/// The segment that a passive reset answers.
#[inline(always)]
pub fn of_segment(window: &mut Window, skb: u64) {
    let begin = sock::payload_begin(skb);
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
    let skb = node - u64::from(maps::offset(Field::SkbRbnode));
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
    let frag = shared + u64::from(maps::offset(Field::ShinfoFrags));
    let Some(page) = pages::address(read(frag, Field::FragPage)) else { return };
    let begin = page + u64::from(read::<u32>(frag, Field::FragOffset));
    read_bytes(window, own, begin, u64::from(read::<u32>(frag, Field::FragLen)));
}

/// What an application is about to send: `msg` is its `struct msghdr`, from the first byte that was not taken yet. Of scattered
/// memory only the first piece is read, of what is no memory of a process nothing.
#[inline(always)]
pub fn of_message(window: &mut Window, msg: Typed) {
    let done: u64 = read(msg, Field::MsgIterOffset);
    let address: u64 = read(msg, Field::MsgIterAddress);
    let (begin, len): (u64, u64) = match u32::from(read::<u8>(msg, Field::MsgIterType)) {
        kind if kind == maps::iter_ubuf() => (address, read::<u64>(msg, Field::MsgIterCount) + done),
        // `struct iovec` is part of the system call's interface: an address and a length.
        kind if kind == maps::iter_iovec() => (sock::read_at(address), sock::read_at::<u64>(address + 8)),
        _ => return,
    };
    read_user_bytes(window, begin + done, len.saturating_sub(done));
}
