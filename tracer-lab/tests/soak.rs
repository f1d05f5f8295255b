//! Every count of thousands of connections is the same, whoever counts.
//!
//! In a binary of its own: the tracer counts for the whole host, and cargo runs one test binary after the other.

use anyhow::Result;
use tracer_lab::lab;

const CONNECTIONS: usize = 5000;
/// Others on this host may reset and close connections too, but not all the time.
const TRIES: usize = 3;

#[test]
fn segments_resets_and_events_of_a_mix_are_counted_exactly() -> Result<()> {
    if !lab::may_play("mix")? {
        return Ok(());
    }
    for attempt in 1.. {
        let mixed = tracer_lab::soak::mix(CONNECTIONS, fastrand::u64(..))?;
        println!("{mixed}");
        let exact = mixed.is_exact();
        if exact.is_err() && mixed.is_disturbed() && attempt < TRIES {
            continue;
        }
        return exact;
    }
    unreachable!()
}
