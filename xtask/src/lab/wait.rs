//! Waiting for conditions, so that nothing in the lab guesses how long something takes.

use std::env;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// On a machine of ordinary speed.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Upper bound of every wait for something that must come: longer than it takes, even on a busy machine.
#[must_use]
pub fn patience() -> Duration {
    stretched(PATIENCE)
}

/// The bound `time` of a machine of ordinary speed, on this one: `TRACER_LAB_SLOWNESS` times as long, where an emulated machine
/// sets that.
#[must_use]
pub fn stretched(time: Duration) -> Duration {
    let slowness = env::var("TRACER_LAB_SLOWNESS").ok().and_then(|times| times.parse().ok());
    time * slowness.unwrap_or(1)
}

/// Waits until `look` finds something; `what` names it in the error.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let patience = patience();
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("waited {} s in vain for {what}", patience.as_secs());
        }
        sleep(LOOK_AGAIN);
    }
}

/// Lets time pass where the passing of time itself is the subject, such as an idle connection.
pub fn let_pass(time: Duration) {
    sleep(time);
}
