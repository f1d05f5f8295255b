//! What can be wrong with a server's keep-alive, and how bad it is.

use super::{
    idle_ages::{Timeout, agree},
    profile::{Races, ServerProfile},
};
use crate::model::KernelNs;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// The server closes idle connections that its clients still keep.
    ServerClosesFirst(Timeout),
    /// The server ends connections after this many requests, and the next one is reset.
    RequestLimit(u32),
}

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    /// Requests can fail, and none did within the last hour.
    Notice,
    /// Requests failed within the last hour.
    Warning,
}

impl Severity {
    /// The name used in labels and JSON.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Warning => "warning",
        }
    }
}

/// What was found of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// The kind of finding.
    pub(super) finding: Finding,
    /// Its severity.
    pub(super) severity: Severity,
    /// Since when it stands.
    pub(super) since: KernelNs,
}

impl Finding {
    /// How many kinds there are.
    pub(super) const KINDS: usize = 2;

    /// What is found of a server, one of each kind at most.
    pub(super) fn all(known: &ServerProfile, now: KernelNs) -> [Option<Self>; Self::KINDS] {
        [
            known.server_closes_first(now).map(Self::ServerClosesFirst),
            known.request_limit(now).map(Self::RequestLimit),
        ]
    }

    /// The requests that fail because of it.
    pub(super) fn races(self, known: &ServerProfile) -> Races {
        match self {
            Self::ServerClosesFirst(_) => known.idle_races,
            Self::RequestLimit(_) => known.short_races,
        }
    }

    /// When something was last seen that it stands on.
    pub(super) fn last_seen(self, known: &ServerProfile) -> KernelNs {
        let last = match self {
            Self::ServerClosesFirst(_) => known.last_server_close.max(known.idle_races.last),
            Self::RequestLimit(_) => known.short_races.last,
        };
        last.unwrap_or(known.touched)
    }

    /// The name used in labels and JSON.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::ServerClosesFirst(_) => "server_closes_first",
            Self::RequestLimit(_) => "request_limit",
        }
    }

    /// Whether there is nothing new in it, given the other one.
    fn says_the_same(self, other: Self) -> bool {
        match (self, other) {
            (Self::ServerClosesFirst(one), Self::ServerClosesFirst(other)) => agree(one.value, other.value),
            (Self::RequestLimit(one), Self::RequestLimit(other)) => one.abs_diff(other) <= 1,
            _ => false,
        }
    }
}

impl Advice {
    /// The name of what was found, as labels and JSON have it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.finding.kind()
    }

    /// The name of how bad it is, as labels and JSON have it.
    #[must_use]
    pub fn severity(&self) -> &'static str {
        self.severity.name()
    }

    /// Whether there is nothing new in it, given the other one.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        self.severity == other.severity && self.finding.says_the_same(other.finding)
    }
}
