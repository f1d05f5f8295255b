//! What an application hands over to be sent (`struct msghdr`). Read only for request lines.

use tracer_common::{Prefix, field};

use super::{Typed, payload::read_user_bytes, read, read_at};
use crate::state::constants::{iter_iovec, iter_ubuf};

/// What an application is about to send: `msg` is its `struct msghdr`, from the first byte that was not taken yet. Of
/// scattered memory only the first piece is read, of what is no memory of a process nothing.
#[inline(always)]
pub fn of_message(prefix: &mut Prefix, msg: Typed) {
    let done = read(msg, field::MSG_ITER_OFFSET);
    let address = read(msg, field::MSG_ITER_ADDRESS);
    let (begin, len): (u64, u64) = match u32::from(read(msg, field::MSG_ITER_TYPE)) {
        kind if kind == iter_ubuf() => (address, read(msg, field::MSG_ITER_COUNT) + done),
        // `struct iovec` is part of the system call's interface: an address and a length.
        kind if kind == iter_iovec() => (read_at(address), read_at::<u64>(address + 8)),
        _ => return,
    };
    read_user_bytes(prefix, begin + done, len.saturating_sub(done));
}
