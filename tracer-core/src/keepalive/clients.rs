//! Whether something concerns one client or several.

use std::net::IpAddr;

/// The addresses of clients, as far as it matters how many they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Clients {
    /// None yet.
    #[default]
    None,
    /// One.
    One(IpAddr),
    /// More than one.
    Several,
}

impl Clients {
    /// Takes one more.
    #[must_use]
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::None, one) | (one, Self::None) => one,
            (Self::One(one), Self::One(other)) if one == other => self,
            _ => Self::Several,
        }
    }

    /// Takes the client at this address.
    pub(super) fn add(&mut self, client: IpAddr) {
        *self = self.and(Self::One(client));
    }

    /// Whether they are enough to speak for `all` clients: more than one, or the only one there is.
    #[must_use]
    pub(super) fn speak_for(self, all: Self) -> bool {
        self == Self::Several || all != Self::Several
    }
}

impl FromIterator<Self> for Clients {
    fn from_iter<I: IntoIterator<Item = Self>>(clients: I) -> Self {
        clients.into_iter().fold(Self::None, Self::and)
    }
}
