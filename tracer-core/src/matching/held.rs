//! The resets that wait for what belongs to them. This is where incidents get their numbers.

use std::{collections::VecDeque, time::Duration};

use super::incident::Incident;
use crate::model::KernelNs;

/// How long a reset waits: for the passive reset behind a false receive (microseconds), and for further segments of the
/// same crossing (a round trip).
pub(crate) const HOLD: Duration = Duration::from_millis(100);

/// Upper bound on the resets that wait at once.
const MAX_HELD: usize = 16_384;

/// Incidents in the order of their numbers, without gaps.
#[derive(Debug, Default)]
pub(super) struct Held {
    queue: VecDeque<Incident>,
    /// The number of the first in the queue.
    first: u64,
}

impl Held {
    /// Adds an incident; returns its number.
    pub(super) fn push(&mut self, incident: Incident) -> u64 {
        self.queue.push_back(incident);
        self.first + self.queue.len() as u64 - 1
    }

    /// The incident of this number, while it waits.
    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Incident> {
        self.queue.get_mut(usize::try_from(id.checked_sub(self.first)?).ok()?)
    }

    /// Takes out the first incident with its number.
    pub(super) fn pop(&mut self) -> Option<(u64, Incident)> {
        let incident = self.queue.pop_front()?;
        let id = self.first;
        self.first += 1;
        Some((id, incident))
    }

    /// Takes out the first incident if it has waited long enough, or too many wait.
    pub(super) fn pop_ready(&mut self, now: KernelNs) -> Option<(u64, Incident)> {
        let first = self.queue.front()?;
        let is_ready = now.since(first.at) >= HOLD || self.queue.len() > MAX_HELD;
        is_ready.then(|| self.pop())?
    }

    /// When the first incident has waited long enough.
    pub(super) fn next_due(&self) -> Option<KernelNs> {
        self.queue.front().map(|incident| incident.at.plus(HOLD))
    }
}
