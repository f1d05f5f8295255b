//! What was said of connections lately, so that their other ends are told the same, and nothing is told twice.

use std::{collections::VecDeque, time::Duration};

use hashbrown::HashMap;

use crate::{
    classify::Told,
    model::{ConnectionId, KernelNs, Role},
};

/// How long it is kept: as long as a closed connection.
const RETENTION: Duration = Duration::from_secs(65);

/// Upper bound on the ends that are remembered.
const MAX_TOLD: usize = 65_536;

/// The ends of connections that were judged, the latest ones.
#[derive(Debug, Default)]
pub(crate) struct ToldLately {
    ends: HashMap<(ConnectionId, Role), (u64, Told)>,
    order: VecDeque<(KernelNs, (ConnectionId, Role))>,
}

impl ToldLately {
    /// What was said of this end, under which number.
    pub(crate) fn get(&self, connection: ConnectionId, role: Role) -> Option<(u64, Told)> {
        self.ends.get(&(connection, role)).copied()
    }

    /// Notes what is said of an end, and forgets what is old.
    pub(crate) fn note(&mut self, now: KernelNs, connection: ConnectionId, role: Role, id: u64, told: Told) {
        while self.order.len() >= MAX_TOLD
            || self.order.front().is_some_and(|(at, _)| now.since(*at) >= RETENTION)
        {
            let Some((_, end)) = self.order.pop_front() else { break };
            self.ends.remove(&end);
        }
        if self.ends.insert((connection, role), (id, told)).is_none() {
            self.order.push_back((now, (connection, role)));
        }
    }
}
