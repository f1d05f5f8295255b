//! The last request line of the connection that a reset ends, while that is asked for.

use tracer_common::{BY_PEER, BY_US, RequestLine};

use crate::{
    kernel::payload,
    state::{constants::with_request_lines, request_lines, windows},
};

/// Fills in the last request line of the connection that a reset ends: `sk` is its socket or 0, `skb` the segment that is answered or 0.
#[inline(always)]
pub fn last(line: &mut RequestLine, window: u32, sk: u64, skb: u64) {
    if !with_request_lines() {
        return;
    }
    let sent = request_lines::sent(sk);
    if let Some(sent) = &sent
        && sent.line.superseded == 0
    {
        *line = sent.line;
        return;
    }
    let Some(window) = windows::window(window) else { return };
    // What was sent unseen is still there until it is acknowledged.
    let by = if skb != 0 {
        payload::of_segment(window, skb);
        BY_PEER
    } else {
        payload::of_unacknowledged(window, sk);
        BY_US
    };
    if line.take(window, payload::shift) {
        line.by = by;
    } else if let Some(sent) = sent {
        *line = sent.line;
    }
}
