//! Waiting for conditions, so that nothing in the lab guesses how long something takes.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Longer than anything the lab waits for takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Waits until `look` finds something; `what` names it in the error.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("waited {} s in vain for {what}", PATIENCE.as_secs());
        }
        sleep(LOOK_AGAIN);
    }
}

/// Lets time pass where the passing of time itself is the subject, such as an idle connection.
pub fn let_pass(time: Duration) {
    sleep(time);
}
