//! Requests that are lost on real software: every error in the logs of proxies and clients against what the tracer
//! says.
//!
//! Servers are provoked to fail in all the ways that are known, behind proxies and under clients that people use. Each
//! failure that an application reports must have one incident, of a right cause, and there must be no others.

mod batch;
mod client;
mod front;
mod incident;
mod kind;
mod loss;
mod pairs;
mod table;
mod upstream;
mod verdict;
mod walk;
mod wire;

use anyhow::Result;

use crate::programs::step;
pub(crate) use crate::servers::failures::incident::HARMLESS;
use crate::servers::failures::incident::Tracer;
use crate::servers::failures::pairs::{batches, fast_batches};
pub use crate::servers::failures::table::Table;

/// Lets requests fail and compares; `fast` leaves out software that is large or slow to start. `only` are words of
/// which a pair must have one in its name.
pub fn failures(fast: bool, only: &[String]) -> Result<Table> {
    let tracer = Tracer::start()?;
    let mut table = Table::default();
    for (mut pairs, size) in if fast { fast_batches() } else { batches() } {
        pairs.retain(|pair| {
            only.is_empty() || only.iter().any(|word| pair.to_string().contains(word.as_str()))
        });
        if let Some(first) = pairs.first() {
            step(&format!("{first} and {} more", pairs.len() - 1));
            table.0.extend(batch::run(&tracer, &pairs, size)?);
        }
    }
    tracer.stop()?;
    Ok(table)
}
