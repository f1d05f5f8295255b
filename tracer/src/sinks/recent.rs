//! The last incidents, for `/api/v1/incidents` and `/api/v1/resets`.

use std::collections::VecDeque;

use tracer_core::classify::IncidentView;

/// A bounded list, oldest first.
#[derive(Debug)]
pub struct Recent {
    incidents: VecDeque<IncidentView>,
    limit: usize,
}

impl Recent {
    /// Keeps at most `limit` incidents.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { incidents: VecDeque::new(), limit }
    }

    /// Adds the newest incident.
    pub fn push(&mut self, incident: IncidentView) {
        if self.limit == 0 {
            return;
        }
        if self.incidents.len() == self.limit {
            self.incidents.pop_front();
        }
        self.incidents.push_back(incident);
    }

    /// Counts a RST segment that came after its incident was judged.
    pub fn add_segment(&mut self, id: u64) {
        if let Ok(index) = self.incidents.binary_search_by_key(&id, |incident| incident.id) {
            self.incidents[index].rst_segments += 1;
        }
    }

    /// At most `limit` of the incidents that are `wanted`, newest first.
    #[must_use]
    pub fn newest(&self, limit: usize, wanted: impl Fn(&IncidentView) -> bool) -> Vec<IncidentView> {
        self.incidents.iter().rev().filter(|incident| wanted(incident)).take(limit).cloned().collect()
    }
}
