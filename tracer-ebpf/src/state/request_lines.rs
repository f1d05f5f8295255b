//! What the clients of this host sent last.

use aya_ebpf::{macros::map, maps::LruHashMap};
use tracer_common::RequestLine;

/// The last request line that each client of this host sent, by the address of its socket; the least used make room.
#[map]
static SENT: LruHashMap<u64, Sent> = LruHashMap::with_max_entries(1, 0);

/// What a client sent last.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Sent {
    /// The request line.
    pub line: RequestLine,
    /// Next sequence number that was expected from the server then.
    pub rcv_nxt: u32,
    /// Keeps the size a multiple of 8.
    pub padding: u32,
}

/// What the client with this socket sent last.
#[inline(always)]
pub fn sent(sk: u64) -> Option<&'static mut Sent> {
    // SAFETY: map memory outlives the program. The kernel serialises what is sent on one socket; should the entry be taken for another
    // one meanwhile, a line is mixed from two.
    SENT.get_ptr_mut(sk).map(|entry| unsafe { &mut *entry })
}

/// Remembers it; where there is no room it stays unknown.
#[inline(always)]
pub fn remember_sent(sk: u64, sent: &Sent) {
    let _ = SENT.insert(sk, sent, 0);
}

/// Forgets it.
#[inline(always)]
pub fn forget_sent(sk: u64) {
    let _ = SENT.remove(sk);
}
