//! Request lines, while they are asked for: of what clients of this host send, and of segments that are answered with a RST.

use tracer_common::{BY_PEER, BY_US, ROLE_SERVER, RequestLine};

use crate::{
    maps::{self, Sent, window},
    payload,
    sock::{self, Object, Typed},
};

/// A client's application hands over payload. Only where this begins a request it is looked at: something was received since the
/// one before.
#[inline(always)]
pub fn sending(sk: Typed, msg: Typed) {
    if sock::role(sk) == ROLE_SERVER {
        return;
    }
    let rcv_nxt = sock::rcv_nxt(sk);
    let before = maps::sent(sk.address());
    if before.as_ref().is_some_and(|before| before.rcv_nxt == rcv_nxt) {
        return;
    }
    let Some(window) = maps::window(window::SENDING) else { return };
    payload::of_message(window, msg);
    let mut line = RequestLine { by: BY_US, ..RequestLine::NONE };
    let found = line.take(window, sock::shift);
    match before {
        Some(before) if found => *before = Sent { line, rcv_nxt, padding: 0 },
        Some(before) => {
            before.rcv_nxt = rcv_nxt;
            before.line.superseded = 1;
        }
        None if found => maps::remember_sent(sk.address(), &Sent { line, rcv_nxt, padding: 0 }),
        None => {}
    }
}

/// Fills in the last request line of the connection that a reset ends: `sk` is its socket or 0, `skb` the segment that is answered or 0.
#[inline(always)]
pub fn last(line: &mut RequestLine, window: u32, sk: u64, skb: u64) {
    if !maps::with_request_lines() {
        return;
    }
    let sent = maps::sent(sk);
    if let Some(sent) = &sent
        && sent.line.superseded == 0
    {
        *line = sent.line;
        return;
    }
    let Some(window) = maps::window(window) else { return };
    // What was sent unseen is still there until it is acknowledged.
    let by = if skb != 0 {
        payload::of_segment(window, skb);
        BY_PEER
    } else {
        payload::of_unacknowledged(window, sk);
        BY_US
    };
    if line.take(window, sock::shift) {
        line.by = by;
    } else if let Some(sent) = sent {
        *line = sent.line;
    }
}

/// A socket is destroyed: another one may get its address.
#[inline(always)]
pub fn destroyed(sk: u64) {
    if maps::with_request_lines() {
        maps::forget_sent(sk);
    }
}
