//! What a daemon prints: a line of JSON for each reset, kept by network namespace.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::testbed::reset::Reset;
use crate::testbed::wait::{let_pass, stretched};

/// The daemon holds an incident for about 100 ms, so that RST segments that follow are counted with it.
const PRINTED_WITHIN: Duration = Duration::from_secs(2);
/// After the last step of a scenario, no line may come that is not expected, and it would have come by then.
const QUIET_PERIOD: Duration = Duration::from_millis(300);

/// The lines of one daemon; clones are the same ones.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Collected>>);

#[derive(Default)]
struct Collected {
    /// By network namespace: others on this machine may reset much more than the lab.
    resets: HashMap<u64, Vec<Reset>>,
    /// Since when a number has its meaning, where it had another one before.
    since: HashMap<u64, Timestamp>,
    /// How many there were, whether forgotten or not.
    printed: Printed,
    /// What was wrong with a line.
    unreadable: Vec<String>,
}

/// Lines about resets that a tracer has printed.
#[derive(Clone, Copy, Default)]
pub struct Printed {
    /// All of them.
    pub lines: u64,
    /// Those about resets that no connection was found for.
    pub unmatched: u64,
}

impl Lines {
    /// Reads lines from now on, until they end.
    pub(crate) fn read(&self, from: impl Read + Send + 'static) {
        let lines = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                lines.collected().take(&line);
            }
        });
    }

    /// The lines about these network namespaces so far.
    #[must_use]
    pub fn about(&self, netns: &[u64]) -> Vec<Reset> {
        self.collected().about(netns).cloned().collect()
    }

    /// Forgets the lines about these network namespaces, and those still to come of what happened until now: their
    /// numbers may have had another meaning before.
    pub(crate) fn forget(&self, netns: &[u64]) {
        let mut collected = self.collected();
        collected.resets.retain(|number, _| !netns.contains(number));
        collected.since.extend(netns.iter().map(|&number| (number, Timestamp::now())));
    }

    /// The lines about these network namespaces: as soon as `expected` are there and no more come.
    pub(crate) fn resets(&self, netns: &[u64], expected: usize) -> Vec<Reset> {
        let (asked, limit) = (Instant::now(), stretched(PRINTED_WITHIN));
        loop {
            let found = self.about(netns);
            let waited = asked.elapsed();
            if waited >= limit || (found.len() >= expected && waited >= QUIET_PERIOD) {
                return found;
            }
            let_pass(Duration::from_millis(5));
        }
    }

    /// Waits until `expected` lines about these network namespaces are there and no more come.
    pub(crate) fn await_all(&self, netns: &[u64], expected: usize) {
        let asked = Instant::now();
        while asked.elapsed() < stretched(PRINTED_WITHIN) && self.collected().about(netns).count() < expected
        {
            let_pass(Duration::from_millis(5));
        }
        let_pass(QUIET_PERIOD);
    }

    /// How many were printed so far.
    pub(crate) fn printed(&self) -> Printed {
        self.collected().printed
    }

    /// What was wrong with lines that are not of the contract.
    pub(crate) fn unreadable(&self) -> Vec<String> {
        self.collected().unreadable.clone()
    }

    fn collected(&self) -> MutexGuard<'_, Collected> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collected {
    fn about(&self, netns: &[u64]) -> impl Iterator<Item = &Reset> {
        netns.iter().filter_map(|number| self.resets.get(number)).flatten()
    }

    fn take(&mut self, line: &str) {
        match Reset::parse(line) {
            Ok(reset) => {
                self.printed.lines += 1;
                self.printed.unmatched += u64::from(reset.matched == "none");
                if self.since.get(&reset.netns).is_none_or(|&since| reset.time >= since) {
                    self.resets.entry(reset.netns).or_default().push(reset);
                }
            }
            Err(error) => self.unreadable.push(format!("{error:#}")),
        }
    }
}
