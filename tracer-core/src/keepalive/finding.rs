//! What can be wrong with a server's keep-alive, and how bad it is.

use super::{
    ages::Timeout,
    clients::Clients,
    path::Forgets,
    profile::{ServerProfile, ThinMargin},
    races::Races,
};
use crate::model::{KernelNs, Role};

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// The server closes idle connections that its clients still keep.
    ServerClosesFirst(Timeout),
    /// The clients close first, by less than the closes scatter.
    ThinMargin(ThinMargin),
    /// The server ends connections after this many requests, and the next one is lost.
    RequestLimit(u32),
    /// Something between client and server forgets idle connections.
    PathForgets(Forgets),
}

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    /// Requests can be lost, and none was within the last hour; or those of one client of many.
    Notice,
    /// Requests were lost within the last hour.
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
    pub(super) const KINDS: usize = 4;

    /// What is found of a server, one of each kind at most.
    pub(super) fn all(known: &ServerProfile, now: KernelNs) -> [Option<Self>; Self::KINDS] {
        [
            known.server_closes_first(now).map(Self::ServerClosesFirst),
            known.thin_margin(now).map(Self::ThinMargin),
            known.limit.that_loses_requests(now).map(Self::RequestLimit),
            known.path.forgets(now).map(Self::PathForgets),
        ]
    }

    /// How bad it is. Of a server with several clients one alone cannot raise a warning: it may bring such closes about
    /// itself.
    pub(super) fn severity(self, known: &ServerProfile, role: Role, now: KernelNs) -> Severity {
        let races = self.races(known);
        let closes = match self {
            Self::ServerClosesFirst(_) | Self::ThinMargin(_) => known.timeout_clients(),
            Self::RequestLimit(limit) => known.limit.clients(limit),
            Self::PathForgets(_) => Clients::Several,
        };
        let believed = role == Role::Client
            || (races.clients.speak_for(known.clients) && closes.speak_for(known.clients));
        if races.recently(now) && believed { Severity::Warning } else { Severity::Notice }
    }

    /// The requests that are lost because of it.
    pub(super) fn races(self, known: &ServerProfile) -> Races {
        match self {
            Self::ServerClosesFirst(_) | Self::ThinMargin(_) => known.idle_races.explained,
            Self::RequestLimit(_) => known.short_races,
            Self::PathForgets(_) => {
                let (count, last) = (known.path.count, known.path.last());
                Races { count, last, clients: known.clients, ..Races::default() }
            }
        }
    }

    /// When something was last seen that it stands on.
    pub(super) fn last_seen(self, known: &ServerProfile) -> KernelNs {
        let races = self.races(known).last;
        let last = match self {
            Self::ServerClosesFirst(_) | Self::ThinMargin(_) => known.last_server_close.max(races),
            Self::RequestLimit(_) | Self::PathForgets(_) => races,
        };
        last.unwrap_or(known.tenure.last())
    }

    /// The name used in labels and JSON.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::ServerClosesFirst(_) => "server_closes_first",
            Self::ThinMargin(_) => "thin_margin",
            Self::RequestLimit(_) => "request_limit",
            Self::PathForgets(_) => "path_forgets",
        }
    }

    /// Whether there is nothing new in it, given the other one.
    fn says_the_same(self, other: Self) -> bool {
        match (self, other) {
            (Self::ServerClosesFirst(one), Self::ServerClosesFirst(other)) => one.says_the_same(&other),
            (Self::ThinMargin(one), Self::ThinMargin(other)) => {
                one.server.says_the_same(&other.server) && one.client.says_the_same(&other.client)
            }
            (Self::RequestLimit(one), Self::RequestLimit(other)) => one.abs_diff(other) <= 1,
            // The bound only comes closer to the truth.
            (Self::PathForgets(_), Self::PathForgets(_)) => true,
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
