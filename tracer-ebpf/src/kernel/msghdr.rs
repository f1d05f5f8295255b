//! What an application hands over to be sent (`struct msghdr`). Read only for request lines.

use tracer_common::{Field, Window};

use super::{Typed, payload::read_user_bytes, read, read_at};
use crate::state::constants::{iter_iovec, iter_ubuf};

/// What an application is about to send: `msg` is its `struct msghdr`, from the first byte that was not taken yet. Of scattered
/// memory only the first piece is read, of what is no memory of a process nothing.
#[inline(always)]
pub fn of_message(window: &mut Window, msg: Typed) {
    let done: u64 = read(msg, Field::MsgIterOffset);
    let address: u64 = read(msg, Field::MsgIterAddress);
    let (begin, len): (u64, u64) = match u32::from(read::<u8>(msg, Field::MsgIterType)) {
        kind if kind == iter_ubuf() => (address, read::<u64>(msg, Field::MsgIterCount) + done),
        // `struct iovec` is part of the system call's interface: an address and a length.
        kind if kind == iter_iovec() => (read_at(address), read_at::<u64>(address + 8)),
        _ => return,
    };
    read_user_bytes(window, begin + done, len.saturating_sub(done));
}
