//! The developer's commands of tracer, as functions: `main.rs` only reads the command line.
#![forbid(unsafe_code)]

// Shared with the lab, which it does not link.
#[path = "../../tracer-lab/src/archive.rs"]
pub mod archive;
#[path = "../../tracer-lab/src/programs.rs"]
pub mod process;
#[path = "../../tracer-lab/src/workspace.rs"]
pub mod workspace;

pub mod backports;
pub mod commands;
pub mod daemon;
pub mod debian;
pub mod ebpf;
pub mod fuzz;
pub mod lab;
pub mod linker;
pub mod privilege;
pub mod setup;
pub mod sources;
pub mod toolchain;
