//! A socket is destroyed: another one may get its address.

use crate::state::{
    constants::{with_request_lines, with_requests},
    exchanges, request_lines,
};

/// Forgets what was remembered of the connection.
#[inline(always)]
pub fn destroyed(sk: u64) {
    if with_requests() {
        exchanges::forget(sk);
    }
    if with_request_lines() {
        request_lines::forget_sent(sk);
    }
}
