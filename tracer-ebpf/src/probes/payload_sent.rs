//! Request lines of what clients of this host send, while they are asked for.

use tracer_common::{BY_US, ROLE_SERVER, RequestLine};

use crate::{
    kernel::{Object, Typed, msghdr, payload, sock},
    state::{
        request_lines::{self, Sent},
        windows::{self, window},
    },
};

/// A client's application hands over payload. Only where this begins a request it is looked at: something was received since the
/// one before.
#[inline(always)]
pub fn sending(sk: Typed, msg: Typed) {
    if sock::role(sk) == ROLE_SERVER {
        return;
    }
    let rcv_nxt = sock::rcv_nxt(sk);
    let before = request_lines::sent(sk.address());
    if before.as_ref().is_some_and(|before| before.rcv_nxt == rcv_nxt) {
        return;
    }
    let Some(window) = windows::window(window::SENDING) else { return };
    msghdr::of_message(window, msg);
    let mut line = RequestLine { by: BY_US, ..RequestLine::NONE };
    let found = line.take(window, payload::shift);
    match before {
        Some(before) if found => *before = Sent { line, rcv_nxt, padding: 0 },
        Some(before) => {
            before.rcv_nxt = rcv_nxt;
            before.line.superseded = 1;
        }
        None if found => request_lines::remember_sent(sk.address(), &Sent { line, rcv_nxt, padding: 0 }),
        None => {}
    }
}
