//! Request lines of what clients of this host send, while they are asked for.

use tracer_common::{BY_US, ROLE_SERVER, RequestLine};

use crate::{
    kernel::{Object, Typed, msghdr, payload, sock},
    state::{
        prefixes::Room,
        request_lines::{self, LastRequestLine},
        server_ports,
    },
};

/// A client's application hands over payload. Only where this begins a request it is inspected: something was received
/// since the one before.
#[inline(always)]
pub fn sending(sk: Typed, msg: Typed, room: &mut Room) {
    if !server_ports::admit(|| sock::ports(sk)) || sock::role(sk) == ROLE_SERVER {
        return;
    }
    let rcv_nxt = sock::rcv_nxt(sk);
    let before = request_lines::of(sk.address());
    if before.is_some_and(|before| before.rcv_nxt() == rcv_nxt) {
        return;
    }
    let Some(prefix) = room.clear() else { return };
    msghdr::of_message(prefix, msg);
    let mut line = RequestLine { by: BY_US, ..RequestLine::NONE };
    let found = line.take(prefix, payload::shift);
    match before {
        Some(before) if found => before.replace(line, rcv_nxt),
        Some(before) => before.supersede(rcv_nxt),
        None if found => request_lines::remember(sk.address(), &LastRequestLine::new(line, rcv_nxt)),
        None => {}
    }
}
