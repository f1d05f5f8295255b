//! The developer's commands of tracer, as functions: `main.rs` only reads the command line.
#![forbid(unsafe_code)]

// Shared with the lab, which it does not link.
#[path = "../../tracer-lab/src/archive.rs"]
pub mod archive;
#[path = "../../tracer-lab/src/programs.rs"]
pub mod process;
#[path = "../../tracer-lab/src/workspace.rs"]
pub mod workspace;

mod backports;
pub mod commands;
pub mod daemon;
mod debian;
mod ebpf;
pub mod fuzz;
pub mod lab;
mod linker;
mod privilege;
pub mod setup;
pub mod sources;
mod toolchain;
