//! What a server's profile tells of one of its connections.

use std::time::Duration;

/// How much later than its timeout a server may close: timers wait for the event loop.
const LATE: Duration = Duration::from_millis(100);

/// What is known of a server from all its connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Knowledge {
    /// Whether it ever says anything to anybody; `None` while that is not known.
    pub answers: Option<bool>,
    /// The shortest and the longest time after which it closes idle connections.
    pub timeout: Option<(Duration, Duration)>,
}

impl Knowledge {
    /// Whether a close at this age can be the work of its idle timeout.
    pub(super) fn agrees(self, age: Duration) -> bool {
        self.timeout.is_some_and(|(shortest, longest)| {
            let early = (shortest / 50).min(LATE);
            age + early >= shortest && age <= longest + LATE.min(longest / 10).max(early)
        })
    }
}
