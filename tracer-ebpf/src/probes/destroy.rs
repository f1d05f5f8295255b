//! A socket is destroyed: another one may get its address. Its ports are not asked for: `tcp_disconnect` may have
//! cleared them.

use crate::state::{
    constants::{counts_requests, reads_request_lines},
    exchanges, request_lines,
};

/// Forgets what was remembered of the connection.
#[inline(always)]
pub fn destroyed(sk: u64) {
    if counts_requests() {
        exchanges::forget(sk);
    }
    if reads_request_lines() {
        request_lines::forget(sk);
    }
}
