//! The last request line of the connection that a reset ends, while that is asked for.

use tracer_common::{BY_PEER, BY_US, RequestLine};

use crate::{
    kernel::payload,
    state::{prefixes::Room, request_lines},
};

/// Fills in the last request line that this host's client sent on `sk`, however it ends.
#[inline(always)]
pub fn remembered(line: &mut RequestLine, sk: u64) {
    if let Some(remembered) = request_lines::of(sk) {
        *line = remembered.line();
    }
}

/// Fills in the last request line of the connection that a reset ends: `sk` is its socket or 0, `skb` the segment that
/// is answered or 0.
#[inline(always)]
pub fn last(line: &mut RequestLine, room: &mut Room, sk: u64, skb: u64) {
    let remembered = request_lines::of(sk);
    if let Some(remembered) = remembered
        && !remembered.is_superseded()
    {
        *line = remembered.line();
        return;
    }
    let Some(prefix) = room.clear() else { return };
    // What was sent unseen is still there until it is acknowledged.
    let by = if skb != 0 {
        payload::of_segment(prefix, skb);
        BY_PEER
    } else {
        payload::of_unacknowledged(prefix, sk);
        BY_US
    };
    if line.take(prefix, payload::shift) {
        line.by = by;
    } else if let Some(remembered) = remembered {
        *line = remembered.line();
    }
}
