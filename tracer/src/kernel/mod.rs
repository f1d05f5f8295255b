//! Everything that talks to the kernel: what it has, what was attached, what it counted and reported.

pub(crate) mod btf;
pub(crate) mod counters;
pub(crate) mod fields;
pub(crate) mod load;
pub(crate) mod preflight;
pub(crate) mod programs;
pub(crate) mod reasons;
mod refusal;
pub(crate) mod requests;
mod server_ports;

pub(crate) use load::{LoadOptions, ProbeReport, Tracer};

use anyhow::{Context, Result};
use aya::{Ebpf, maps::Map};

/// Takes a map out of the loaded object, by its name.
pub(crate) fn take_map(ebpf: &mut Ebpf, name: &str) -> Result<Map> {
    ebpf.take_map(name).with_context(|| format!("the eBPF object has no map {name}"))
}
