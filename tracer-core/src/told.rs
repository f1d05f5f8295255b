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
    ends: HashMap<(ConnectionId, Role), Latest>,
    /// When something was said of which end. What is said later keeps the end for longer.
    order: VecDeque<(KernelNs, (ConnectionId, Role))>,
}

#[derive(Debug)]
struct Latest {
    at: KernelNs,
    id: u64,
    told: Told,
}

impl ToldLately {
    /// What was said of this end, under which number.
    pub(crate) fn get(&self, connection: ConnectionId, role: Role) -> Option<(u64, Told)> {
        self.ends.get(&(connection, role)).map(|latest| (latest.id, latest.told))
    }

    /// Notes what is said of an end, and forgets what is old.
    pub(crate) fn note(&mut self, now: KernelNs, connection: ConnectionId, role: Role, id: u64, told: Told) {
        while self.order.len() >= MAX_TOLD
            || self.order.front().is_some_and(|(at, _)| now.since(*at) >= RETENTION)
        {
            let Some((at, end)) = self.order.pop_front() else { break };
            if self.ends.get(&end).is_some_and(|latest| latest.at == at) {
                self.ends.remove(&end);
            }
        }
        let end = (connection, role);
        self.ends.insert(end, Latest { at: now, id, told });
        self.order.push_back((now, end));
    }
}
