//! Which steps of a connection's life are worth a record: as few as can explain a later reset.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use tracer_common::{KIND_CLOSE, KIND_FIN};

use crate::{
    maps::{Urgency, emit, idle_jiffies},
    sock::{self, state},
};

/// A socket changes its state.
///
/// The first FIN is reported when the connection had rested or a request may be crossing it. Where neither
/// is so (a plain short connection), all there is to know is still in the socket at [`KIND_CLOSE`].
#[inline(always)]
pub fn state_changed(sk: u64, old: u8, new: u8) {
    let kind = match new {
        state::FIN_WAIT1 => KIND_FIN,
        state::CLOSE_WAIT => KIND_FIN,
        state::CLOSE if may_reset_later(old) => KIND_CLOSE,
        _ => return,
    };
    if !sock::is_tcp(sk) || !is_news(kind, sk, old) {
        return;
    }
    emit(Urgency::CanWait, |record| {
        // SAFETY: no arguments, cannot fail.
        record.at_ns = unsafe { bpf_ktime_get_ns() };
        record.kind = kind;
        record.old_state = old;
        record.new_state = new;
        sock::connection(record, sk);
    });
}

/// Closing from these states either sends a RST at once or leaves something behind that can.
#[inline(always)]
fn may_reset_later(old: u8) -> bool {
    matches!(
        old,
        state::ESTABLISHED | state::FIN_WAIT1 | state::FIN_WAIT2 | state::CLOSE_WAIT
    )
}

#[inline(always)]
fn is_news(kind: u32, sk: u64, old: u8) -> bool {
    if kind == KIND_FIN {
        return sock::rested(sk, idle_jiffies()) || sock::unacknowledged(sk);
    }
    // Both sides closed in order: a true TIME_WAIT answers data with an ACK, never with a RST.
    let in_order = old == state::FIN_WAIT2 && sock::peer_finished(sk);
    // What set `sk_err` reported itself: a received RST, or an active reset that runs before its CLOSE.
    !in_order && !sock::has_error(sk)
}
