//! Every count of thousands of connections is the same, whoever counts.
//!
//! In a binary of its own: the machine has enough to do with it, and cargo runs one test binary after the other.

use anyhow::Result;
use tracer_lab::testbed::permit::may_run;

const CONNECTIONS: usize = 5000;

#[test]
fn segments_resets_and_events_of_a_mix_are_counted_exactly() -> Result<()> {
    if !may_run("soak")? {
        return Ok(());
    }
    let soaked = tracer_lab::soak::soak(CONNECTIONS, fastrand::u64(..))?;
    println!("{soaked}");
    soaked.is_exact()
}
