//! The developer's commands of tracer, as functions: `main.rs` only reads the command line.
#![forbid(unsafe_code)]

// Shared with the lab, which fetches packages of other suites, so that both mean the same archive.
#[path = "../../tracer-lab/src/archive.rs"]
pub mod archive;
pub mod backports;
pub mod commands;
pub mod debian;
pub mod ebpf;
pub mod fuzz;
pub mod lab;
pub mod linker;
pub mod privilege;
pub mod process;
pub mod setup;
pub mod sources;
pub mod toolchain;
pub mod workspace;
