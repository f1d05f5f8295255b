//! Everything that talks to the kernel: what it has, what was attached, what it counted and reported.

pub mod btf;
pub mod counters;
pub mod fields;
pub mod load;
pub mod preflight;
pub mod programs;
pub mod reasons;
mod refusal;
pub mod requests;
mod server_ports;

pub use counters::Counts;
pub use load::{LoadOptions, ProbeReport, Tracer};

use anyhow::{Context, Result};
use aya::{Ebpf, maps::Map};

/// Takes a map out of the loaded object, by its name.
pub(crate) fn take_map(ebpf: &mut Ebpf, name: &str) -> Result<Map> {
    ebpf.take_map(name).with_context(|| format!("the eBPF object has no map {name}"))
}
