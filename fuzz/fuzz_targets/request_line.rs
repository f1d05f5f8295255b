//! Any bytes as the payload of a segment: what is shown of them is a clean request line, or nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tracer-core/tests/support/request_line.rs"]
mod oracle;

fuzz_target!(|payload: &[u8]| oracle::check_request_line(payload));
