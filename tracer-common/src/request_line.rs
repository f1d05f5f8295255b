//! The request line of plaintext HTTP/1.x (RFC 9112, section 3), as far as it may be shown: method and path.
//!
//! The kernel side runs this as well: no panics, every index masked, every loop with a constant bound, and nothing
//! carried out of a loop but where it ended, or the verifier would follow each combination.

#![expect(clippy::inline_always, reason = "the kernel side has no room for calls")]
#![expect(
    clippy::cast_possible_truncation,
    reason = "indices into 256 bytes; a checked conversion is a path to a panic"
)]

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Bytes of payload that are inspected.
pub const INSPECTED: usize = 128;

/// The beginning of payload, zeroes behind it: so zeroes end what is inspected, and nothing depends on how much there
/// is. What is pieced together of two reads has room as well.
pub type Prefix = [u8; 2 * INSPECTED];

/// A place in a prefix behind all that is inspected.
const METHOD_AT: usize = 2 * INSPECTED - 1;

/// Bytes of a target within which it should end.
const TARGET: usize = 96;

/// Bytes of a path that are kept.
pub const MAX_PATH: usize = 64;

/// No request line is known.
pub const METHOD_NONE: u8 = 0;

/// The methods of RFC 9110 and RFC 5789, with the space behind them: [`RequestLine::method`] counts them from 1.
pub const METHODS: [&[u8]; 9] =
    [b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"CONNECT ", b"OPTIONS ", b"TRACE ", b"PATCH "];

/// Any other method.
pub const METHOD_OTHER: u8 = 10;

const _: () = assert!(METHOD_OTHER as usize == METHODS.len() + 1);

/// This end sent it.
pub const BY_US: u8 = 1;
/// The other end did.
pub const BY_PEER: u8 = 2;

/// The longest registered method, `UPDATEREDIRECTREF`, has 17 letters.
const MAX_METHOD: usize = 17;

/// What follows the target of a request, its space aside.
const VERSION: [u8; 7] = *b"HTTP/1.";

/// The last request line seen of a connection. Fields that do not apply are 0.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes)]
pub struct RequestLine {
    /// [`METHOD_NONE`], the number of one of [`METHODS`], or [`METHOD_OTHER`].
    pub method: u8,
    /// Bytes of `path`; 0 where the target is no path.
    pub path_len: u8,
    /// Whose payload it stood in: [`BY_US`] or [`BY_PEER`].
    pub by: u8,
    /// 1 when another request was begun since then, with something else than a request line.
    pub superseded: u8,
    /// Keeps the size a multiple of 8.
    pub padding: [u8; 4],
    /// The path as it was sent, cut at its query and at [`MAX_PATH`] bytes.
    pub path: [u8; MAX_PATH],
}

const _: () = assert!(size_of::<RequestLine>() == 72);

impl RequestLine {
    /// None is known.
    pub const NONE: Self =
        Self { method: METHOD_NONE, path_len: 0, by: 0, superseded: 0, padding: [0; 4], path: [0; MAX_PATH] };

    /// Takes over the request line that `prefix` begins with. Returns whether there is one; if not, nothing is changed.
    ///
    /// `shift` moves [`INSPECTED`] bytes of the prefix from a place in it to its front: the target then has a place
    /// that does not depend on the method.
    ///
    /// `HTTP/1.` has to follow the target. Only where that is longer than what is inspected, one of [`METHODS`] before
    /// what begins like a path or a URI is enough.
    #[inline(always)]
    pub fn take(&mut self, prefix: &mut Prefix, shift: impl FnOnce(&mut Prefix, usize)) -> bool {
        let (method, target) = method(prefix);
        if method == METHOD_NONE {
            return false;
        }
        // It goes through memory that somebody else writes to, or the verifier would follow each method by itself.
        prefix[METHOD_AT] = method;
        shift(prefix, target);
        let method = prefix[METHOD_AT];
        if !is_http1(prefix, method) {
            return false;
        }
        self.method = method;
        if prefix[0] == b'/' || prefix[0] == b'*' {
            self.path_len = copy_path(prefix, &mut self.path);
        }
        true
    }
}

/// [`METHODS`] as the numbers that a prefix beginning with them has in its first bytes, and their lengths.
const PACKED: [(u64, u32); METHODS.len()] = {
    let mut packed = [(0, 0); METHODS.len()];
    let mut method = 0;
    while method < METHODS.len() {
        let name = METHODS[method];
        let mut letter = 0;
        while letter < name.len() {
            packed[method] = (packed[method].0 << 8 | name[letter] as u64, letter as u32 + 1);
            letter += 1;
        }
        method += 1;
    }
    packed
};

/// The method that `prefix` begins with, or [`METHOD_NONE`], and where its target begins.
#[inline(always)]
fn method(prefix: &Prefix) -> (u8, usize) {
    let begin = prefix.first_chunk().map_or(0, |begin| u64::from_be_bytes(*begin));
    for (index, (name, length)) in PACKED.into_iter().enumerate() {
        if begin >> (u64::BITS - 8 * length) == name {
            return (index as u8 + 1, length as usize);
        }
    }
    for (letters, byte) in prefix[..=MAX_METHOD].iter().enumerate() {
        match byte {
            b'A'..=b'Z' | b'-' => {}
            b' ' if letters > 0 => return (METHOD_OTHER, letters + 1),
            _ => break,
        }
    }
    (METHOD_NONE, 0)
}

/// Whether a request of HTTP/1.x goes on like this from its target on.
#[inline(always)]
fn is_http1(prefix: &Prefix, method: u8) -> bool {
    for (index, byte) in prefix[..TARGET].iter().enumerate() {
        match byte {
            b' ' => return index > 0 && is_version(prefix, index + 1),
            0 | b'\r' | b'\n' => return false,
            _ => {}
        }
    }
    let is_uri = prefix.first_chunk() == Some(b"http");
    method != METHOD_OTHER && (prefix[0] == b'/' || is_uri)
}

#[inline(always)]
fn is_version(prefix: &Prefix, at: usize) -> bool {
    for (index, expected) in VERSION.into_iter().enumerate() {
        if prefix[(at + index) & (size_of::<Prefix>() - 1)] != expected {
            return false;
        }
    }
    true
}

/// Copies the path that `prefix` begins with, and returns its length.
#[inline(always)]
fn copy_path(prefix: &Prefix, path: &mut [u8; MAX_PATH]) -> u8 {
    for (index, into) in path.iter_mut().enumerate() {
        match prefix[index] {
            b' ' | b'?' | b'#' => return index as u8,
            byte => *into = byte,
        }
    }
    MAX_PATH as u8
}
