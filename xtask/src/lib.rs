//! The developer's commands of tracer, as functions: `main.rs` only reads the command line.
#![forbid(unsafe_code)]

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
pub mod summary;
pub mod toolchain;
pub mod workspace;
