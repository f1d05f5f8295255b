//! Runs many cases, a few at a time, and prints their outcomes in order.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::scenarios::case::Case;
use crate::scenarios::outcome::Outcome;
use crate::testbed::daemon::DaemonUnderTest;

/// Cases at a time: they wait most of their time.
pub const WORKERS: usize = 4;

/// Runs `cases` under `tracer` or without one, keeps their captures in `keep`, and returns how many failed.
pub(crate) fn run(cases: &[Case], tracer: Option<&DaemonUnderTest>, keep: Option<&Path>) -> usize {
    println!("{}", Outcome::header());
    let waiting = Mutex::new(cases.iter().enumerate());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let (send, outcomes) = channel();
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            let send = send.clone();
            let work = move || {
                while let Some((number, case)) = next() {
                    // Nobody listens any more only if the lab itself is ending.
                    let _ = send.send((number, case.run(tracer, keep)));
                }
            };
            scope.spawn(work);
        }
        drop(send);
        let mut early = BTreeMap::new();
        let mut printed = 0;
        let mut failed = 0;
        for (number, outcome) in outcomes {
            early.insert(number, outcome);
            while let Some(outcome) = early.remove(&printed) {
                print!("{outcome}");
                failed += usize::from(!outcome.is_ok());
                printed += 1;
            }
        }
        failed
    })
}
