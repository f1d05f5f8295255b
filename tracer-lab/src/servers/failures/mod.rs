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
mod proxy;
mod remedy;
mod table;
mod tls;
mod upstream;
mod verdict;
mod walk;
mod wire;

use std::collections::BTreeSet;
use std::thread;

use anyhow::Result;

use crate::programs::step;
use crate::servers::client::join;
use crate::servers::failures::batch::{Batch, Pair};
pub(crate) use crate::servers::failures::incident::HARMLESS;
use crate::servers::failures::incident::Tracer;
use crate::servers::failures::pairs::{batches, fast_batches};
pub use crate::servers::failures::table::Table;

/// Lets requests fail and compares; `fast` leaves out software that is large or slow to start. `only` are words of
/// which a pair must have one in its name.
pub fn failures(fast: bool, only: &[String]) -> Result<Table> {
    let tracer = Tracer::start()?;
    let mut batches = if fast { fast_batches() } else { batches() };
    let named =
        |pair: &Pair| only.is_empty() || only.iter().any(|word| pair.to_string().contains(word.as_str()));
    let pairs = batches.iter().flat_map(|batch| &batch.pairs);
    let lacking: BTreeSet<_> =
        pairs.filter(|pair| !pair.front.is_installed()).map(|pair| pair.front.to_string()).collect();
    for front in lacking {
        step(&format!("{front} is not installed, so it is left out: see CONTRIBUTING.md"));
    }
    for batch in &mut batches {
        batch.pairs.retain(named);
        batch.pairs.retain(|pair| pair.front.is_installed());
    }
    batches.retain(|batch| !batch.pairs.is_empty());
    // What breaks a network has one of its own, and mostly waits.
    let (apart, together): (Vec<_>, Vec<_>) = batches.into_iter().partition(Batch::breaks_a_network);
    let mut table = Table::default();
    for batch in &together {
        table.add(batch.run(&tracer));
    }
    thread::scope(|scope| {
        let runs: Vec<_> = apart.iter().map(|batch| scope.spawn(|| batch.run(&tracer))).collect();
        for run in runs {
            table.add(join(run));
        }
    });
    tracer.stop()?;
    Ok(table)
}
