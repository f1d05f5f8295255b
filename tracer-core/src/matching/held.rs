//! The incidents that wait for what belongs to them. This is where they get their numbers.

use std::{collections::VecDeque, time::Duration};

use hashbrown::HashMap;

use super::incident::Incident;
use crate::model::{ConnectionId, KernelNs, Role};

/// How long an incident waits: for the passive reset behind a false receive (microseconds), for further segments of the
/// same crossing (a round trip), and for what the connection's other end has to say.
pub(crate) const HOLD: Duration = Duration::from_millis(100);

/// Upper bound on the incidents that wait at once.
const MAX_HELD: usize = 16_384;

/// Incidents in the order of their numbers, without gaps, each with the time it was put here.
#[derive(Debug, Default)]
pub(super) struct Held {
    queue: VecDeque<(KernelNs, Incident)>,
    /// The number of the first in the queue.
    first: u64,
    /// The numbers of those whose connection and end are known.
    ends: HashMap<(ConnectionId, Role), u64>,
}

impl Held {
    /// Adds an incident; returns its number.
    pub(super) fn push(&mut self, incident: Incident) -> u64 {
        let id = self.first + self.queue.len() as u64;
        if let Some(end) = end(&incident) {
            self.ends.insert(end, id);
        }
        self.queue.push_back((incident.at, incident));
        id
    }

    /// What happened at the other end of the connection, while that waits.
    pub(super) fn twin(&mut self, incident: &Incident) -> Option<&mut Incident> {
        let (connection, role) = end(incident)?;
        let other_end = (connection, role.other());
        let id = *self.ends.get(&other_end)?;
        // What took its place may know less of itself.
        self.get_mut(id).filter(|twin| end(twin) == Some(other_end))
    }

    /// The incident of this number, while it waits.
    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Incident> {
        let (_, incident) = self.queue.get_mut(usize::try_from(id.checked_sub(self.first)?).ok()?)?;
        Some(incident)
    }

    /// Takes out the first incident with its number.
    pub(super) fn pop(&mut self) -> Option<(u64, Incident)> {
        let (_, incident) = self.queue.pop_front()?;
        let id = self.first;
        self.first += 1;
        if let Some(end) = end(&incident)
            && self.ends.get(&end) == Some(&id)
        {
            self.ends.remove(&end);
        }
        Some((id, incident))
    }

    /// Takes out the first incident if it has waited long enough, or too many wait.
    pub(super) fn pop_ready(&mut self, now: KernelNs) -> Option<(u64, Incident)> {
        let (since, _) = self.queue.front()?;
        let is_ready = now.since(*since) >= HOLD || self.queue.len() > MAX_HELD;
        is_ready.then(|| self.pop())?
    }

    /// When the first incident has waited long enough.
    pub(super) fn next_due(&self) -> Option<KernelNs> {
        self.queue.front().map(|(since, _)| since.plus(HOLD))
    }
}

/// Which end of which connection.
fn end(incident: &Incident) -> Option<(ConnectionId, Role)> {
    Some((incident.join_by()?, incident.role?))
}
