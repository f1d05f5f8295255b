//! The last request line that each client of this host sent.

use aya_ebpf::{macros::map, maps::LruHashMap};
use tracer_common::{RequestLine, map};

use super::Shared;

/// By the address of its socket; the least used make room.
#[map]
static REQUEST_LINES: LruHashMap<u64, LastRequestLine> = LruHashMap::with_max_entries(1, 0);
const _: &str = map::REQUEST_LINES;

/// What a client sent last.
#[repr(C)]
pub struct LastRequestLine {
    /// The request line.
    line: Shared<RequestLine>,
    /// Next sequence number that was expected from the server then.
    rcv_nxt: Shared<u32>,
    /// 1 when another request was begun since then, with something else than a request line.
    superseded: Shared<u32>,
}

impl LastRequestLine {
    #[inline(always)]
    pub fn new(line: RequestLine, rcv_nxt: u32) -> Self {
        Self { line: Shared::new(line), rcv_nxt: Shared::new(rcv_nxt), superseded: Shared::new(0) }
    }

    #[inline(always)]
    pub fn line(&self) -> RequestLine {
        RequestLine { superseded: self.superseded.get() as u8, ..self.line.get() }
    }

    #[inline(always)]
    pub fn rcv_nxt(&self) -> u32 {
        self.rcv_nxt.get()
    }

    #[inline(always)]
    pub fn is_superseded(&self) -> bool {
        self.superseded.get() != 0
    }

    /// Another request line was sent.
    #[inline(always)]
    pub fn replace(&self, line: RequestLine, rcv_nxt: u32) {
        self.line.set(line);
        self.rcv_nxt.set(rcv_nxt);
        self.superseded.set(0);
    }

    /// Another request was begun, with something else.
    #[inline(always)]
    pub fn supersede(&self, rcv_nxt: u32) {
        self.rcv_nxt.set(rcv_nxt);
        self.superseded.set(1);
    }
}

/// What the client with this socket sent last.
#[inline(always)]
pub fn of(sk: u64) -> Option<&'static LastRequestLine> {
    // SAFETY: map memory outlives the program, and what changes in it is [`Shared`]. The kernel serialises what is sent
    // on one socket; should the entry be taken for another one meanwhile, a line is mixed from two.
    unsafe { REQUEST_LINES.get(sk) }
}

/// Remembers it; where there is no room it stays unknown.
#[inline(always)]
pub fn remember(sk: u64, last: &LastRequestLine) {
    let _ = REQUEST_LINES.insert(sk, last, 0);
}

/// Forgets it.
#[inline(always)]
pub fn forget(sk: u64) {
    let _ = REQUEST_LINES.remove(sk);
}
