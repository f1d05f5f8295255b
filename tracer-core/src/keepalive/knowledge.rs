//! What a server's profile tells those who judge its connections.

use std::time::Duration;

use super::ages::Timeout;

/// How many connections must their clients have ended without a byte of the server's, and none with, for it to be one
/// that never answers.
const SILENT: u64 = 3;

/// What is known of a server from all its connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Knowledge {
    /// Whether it ever sends payload to anybody; `None` while too little was seen. Log servers do not.
    pub answers: Option<bool>,
    /// After how long it closes idle connections.
    pub timeout: Option<Timeout>,
}

impl Knowledge {
    /// Whether a close by the server at this age, or a request that meets it, agrees with its timeout.
    #[must_use]
    pub(crate) fn agrees(&self, age: Duration) -> bool {
        self.timeout.is_some_and(|timeout| timeout.agrees(age))
    }
}

/// Whether a server answers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Answers {
    answered: bool,
    /// Connections on which it was asked and said nothing, and that their clients ended: one that its server ends may
    /// have failed.
    silent: u64,
}

impl Answers {
    /// Takes the end of a connection that carried payload, by its client or not.
    pub(super) fn add(&mut self, answered: bool, by_client: bool) {
        self.answered |= answered;
        self.silent += u64::from(!answered && by_client);
    }

    /// See [`Knowledge::answers`].
    #[must_use]
    pub(super) fn known(self) -> Option<bool> {
        if self.answered { Some(true) } else { (self.silent >= SILENT).then_some(false) }
    }
}
