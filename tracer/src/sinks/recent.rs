//! The last resets, for `/api/v1/resets`.

use std::collections::VecDeque;

use tracer_core::classify::IncidentView;

/// A bounded list, oldest first.
#[derive(Debug)]
pub struct Recent {
    resets: VecDeque<IncidentView>,
    limit: usize,
}

impl Recent {
    /// Keeps at most `limit` resets.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { resets: VecDeque::new(), limit }
    }

    /// Adds the newest reset.
    pub fn push(&mut self, reset: IncidentView) {
        if self.limit == 0 {
            return;
        }
        if self.resets.len() == self.limit {
            self.resets.pop_front();
        }
        self.resets.push_back(reset);
    }

    /// Counts a RST segment that came after its incident was judged.
    pub fn add_segment(&mut self, id: u64) {
        if let Ok(index) = self.resets.binary_search_by_key(&id, |reset| reset.id) {
            self.resets[index].rst_segments += 1;
        }
    }

    /// At most `limit` resets, newest first.
    #[must_use]
    pub fn newest(&self, limit: usize) -> Vec<IncidentView> {
        self.resets.iter().rev().take(limit).cloned().collect()
    }
}
