//! The lab: connections that are reset on purpose, packet captures that judge what the daemon says of them, other
//! kernels, real servers, benchmarks, fresh machines.
#![forbid(unsafe_code)]

pub mod archive;
pub mod bench;
pub mod composites;
pub mod fresh;
pub mod lab;
pub(crate) mod oracle;
pub mod privilege;
pub mod programs;
pub mod proxy;
pub mod requests;
pub mod scenarios;
pub mod servers;
pub mod soak;
pub mod summary;
pub mod testbed;
pub mod traffic;
pub mod vm;
pub mod workspace;
