//! Waiting for conditions, so that nothing in the lab guesses how long something takes.

use std::env;
use std::error::Error;
use std::fmt;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

/// On a machine of ordinary speed.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Upper bound of every wait for something that must come: longer than it takes, even on a busy machine.
#[must_use]
pub fn patience() -> Duration {
    stretched(PATIENCE)
}

/// The bound `time` of a machine of ordinary speed, on this one: `TRACER_LAB_SLOWNESS` times as long, where an emulated
/// machine sets that.
#[must_use]
pub fn stretched(time: Duration) -> Duration {
    let slowness = env::var("TRACER_LAB_SLOWNESS").ok().and_then(|times| times.parse().ok());
    time * slowness.unwrap_or(1)
}

/// Waits until `poll` finds something; `what` names it in the error.
pub fn until<T>(what: &str, mut poll: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let patience = patience();
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = poll()? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("waited {} s in vain for {what}", patience.as_secs());
        }
        sleep(LOOK_AGAIN);
    }
}

/// Takes `steps` that are what the scenario says only if they take no longer than `limit`; else the error is
/// [`TooSlow`].
pub fn together<T>(what: &'static str, limit: Duration, steps: impl FnOnce() -> Result<T>) -> Result<T> {
    let began = Instant::now();
    let taken = steps()?;
    let took = began.elapsed();
    ensure!(took <= limit, TooSlow { what, took, limit });
    Ok(taken)
}

/// The machine was busy elsewhere, so that another scenario was run than was meant.
#[derive(Debug)]
pub struct TooSlow {
    what: &'static str,
    took: Duration,
    limit: Duration,
}

impl fmt::Display for TooSlow {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, took, limit } = self;
        write!(out, "{what} took {} ms, more than {} ms", took.as_millis(), limit.as_millis())
    }
}

impl Error for TooSlow {}

/// Lets time pass where the passing of time itself is the subject, such as an idle connection.
pub fn let_pass(time: Duration) {
    sleep(time);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_that_take_too_long_are_not_what_was_meant() {
        let steps = |limit| {
            together("two steps", limit, || {
                sleep(LOOK_AGAIN);
                Ok("taken")
            })
        };
        assert_eq!(steps(PATIENCE).unwrap(), "taken");
        let error = steps(Duration::ZERO).unwrap_err();
        assert!(error.is::<TooSlow>(), "{error:#}");
        assert!(error.to_string().ends_with(" ms, more than 0 ms"), "{error:#}");
    }
}
