//! Which servers are watched, at which keep-alive timeouts, and how clients come.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::servers::software::Software;
use crate::servers::software::Software::{Apache, Gevent, Gthread, HAProxy, Nginx, Node, Plain};

/// Milliseconds from one client to the next: what closes within 100 ms counts as one moment.
pub(crate) const PACE: RangeInclusive<u64> = 150..=250;

/// One server's setting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) software: Software,
    /// The keep-alive timeout in its configuration.
    pub(crate) timeout: Duration,
    pub(crate) load: Load,
}

/// How clients come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// One after the other, without waiting for each other.
    Spread,
    /// The same, and this many others a second that do not keep their connection.
    Busy(u32),
    /// The next one when the connection of the one before is closed.
    OneByOne,
}

/// The exact ones, then each software at settings short and long.
pub(crate) const SETTINGS: &[Setting] = &[
    spread(Plain, 500),
    spread(Plain, 2_000),
    spread(Plain, 4_000),
    spread(Plain, 5_000),
    spread(Plain, 6_000),
    spread(Plain, 60_000),
    spread(Plain, 75_000),
    spread(Nginx, 500),
    spread(Nginx, 2_000),
    spread(Nginx, 75_000),
    spread(Apache, 500),
    spread(Apache, 2_000),
    spread(Apache, 5_000),
    spread(HAProxy, 500),
    spread(HAProxy, 2_000),
    spread(HAProxy, 60_000),
    spread(Node, 500),
    spread(Node, 1_000),
    spread(Node, 5_000),
    spread(Gevent, 1_000),
    spread(Gevent, 2_000),
    spread(Gevent, 5_000),
    // It looks for idle connections when something happens, else once a second: with few requests there is no one age.
    Setting { load: Load::Busy(25), ..spread(Gthread, 2_000) },
    Setting { load: Load::Busy(25), ..spread(Gthread, 5_000) },
    Setting { load: Load::OneByOne, ..spread(Gthread, 2_000) },
];

const fn spread(software: Software, milliseconds: u64) -> Setting {
    Setting { software, timeout: Duration::from_millis(milliseconds), load: Load::Spread }
}

impl Setting {
    /// About how long it takes to see `closes` closes.
    pub(crate) fn lasts(&self, closes: usize) -> Duration {
        let closes = u32::try_from(closes).unwrap_or(u32::MAX);
        match self.load {
            Load::Spread | Load::Busy(_) => self.timeout + Duration::from_millis(*PACE.end()) * closes,
            Load::OneByOne => (self.timeout + Duration::from_secs(1)) * closes,
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} at {} s", self.software, self.timeout.as_secs_f64())?;
        match self.load {
            Load::Spread => Ok(()),
            Load::Busy(rate) => write!(out, ", {rate} other requests/s"),
            Load::OneByOne => write!(out, ", one connection at a time"),
        }
    }
}
