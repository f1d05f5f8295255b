//! The records that cross from the kernel side of tracer to its user side.
//!
//! Everything here is plain integers and byte arrays with explicit padding: any bit pattern is a valid
//! value, so neither side can break the other. Meaning is given to them once, in `tracer_core::decode`.

#![no_std]
#![forbid(unsafe_code)]

mod fields;
mod names;
mod record;
mod request_line;
mod requests;

pub use fields::*;
pub use names::*;
pub use record::*;
pub use request_line::*;
pub use requests::*;
