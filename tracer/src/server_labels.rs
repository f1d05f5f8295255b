//! The bounded table of servers that become labels.

use std::{fmt, net::SocketAddr};

use hashbrown::{HashMap, hash_map::Entry};
use lru::LruCache;
use tracer_core::model::{KernelNs, Role, Tenure};

/// The value of a `server` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Server {
    /// One that has a label of its own.
    Known(SocketAddr),
    /// One without: they share a label.
    Other,
    /// The server end cannot be told.
    Unknown,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(server) => server.fmt(f),
            Self::Other => f.write_str("other"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// A server, and what this host is to it: what a place in the table is for.
pub(crate) type Endpoint = (Role, SocketAddr);

/// Upper bound on the servers that are remembered after they had to go.
const MAX_REMEMBERED: usize = 8192;

/// Servers whose tenure has ended may hold a third of the places, and in a small table so many.
const MIN_LAPSED: usize = 150;

/// At most `limit` servers with a label of their own, and what is kept of each.
///
/// A server whose [`Tenure`] lasts keeps its place. Of those whose tenure has ended only the latest ones do: a crowd
/// that passes leaves few series behind. Where one of them has to go it is remembered, so that it is no newcomer when
/// it comes back: whatever is heard of again and again gets a place to stay, however many others are heard of in
/// between.
#[derive(Debug)]
pub(crate) struct Servers<T> {
    places: HashMap<Endpoint, Place<T>>,
    limit: usize,
    left: LruCache<Endpoint, Tenure>,
}

#[derive(Debug)]
struct Place<T> {
    tenure: Tenure,
    kept: T,
}

/// Whether there was room for a newcomer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Room<T> {
    /// There was.
    Free,
    /// This server had to go.
    Made(Endpoint, T),
    /// All servers stay.
    None,
}

impl<T> Servers<T> {
    /// No server has a place yet.
    pub(crate) fn new(limit: usize) -> Self {
        Self { places: HashMap::new(), limit, left: LruCache::unbounded() }
    }

    /// A server is heard of again: true if it has a place.
    pub(crate) fn renew(&mut self, server: Endpoint, now: KernelNs) -> bool {
        let place = self.places.get_mut(&server);
        place.map(|place| place.tenure.renew(now)).is_some()
    }

    /// A server without a place is heard of: makes room for it, if that can be.
    pub(crate) fn make_room(&mut self, now: KernelNs) -> Room<T> {
        let full = self.places.len() >= self.limit;
        let lapsed = self.places.iter().filter(|(_, place)| !place.tenure.lasts(now));
        let lapsed: Vec<_> = lapsed.map(|(&server, place)| (place.tenure.ends(), server)).collect();
        if !full && lapsed.len() < MIN_LAPSED.max(self.limit / 3) {
            return Room::Free;
        }
        let quietest = lapsed.into_iter().min();
        let Some((server, place)) = quietest.and_then(|(_, server)| self.places.remove_entry(&server)) else {
            return Room::None;
        };
        if self.left.len() >= MAX_REMEMBERED {
            self.left.pop_lru();
        }
        self.left.put(server, place.tenure);
        Room::Made(server, place.kept)
    }

    /// Gives a place in which there is room to a server.
    pub(crate) fn settle(&mut self, server: Endpoint, now: KernelNs, kept: T) -> &mut T {
        let tenure = self.left.pop(&server).map_or_else(|| Tenure::begin(now), |tenure| tenure.resume(now));
        let place = Place { tenure, kept };
        match self.places.entry(server) {
            Entry::Occupied(mut there) => {
                there.insert(place);
                &mut there.into_mut().kept
            }
            Entry::Vacant(free) => &mut free.insert(place).kept,
        }
    }

    /// What is kept of a server that has a place, to be read.
    pub(crate) fn get(&self, server: Endpoint) -> Option<&T> {
        self.places.get(&server).map(|place| &place.kept)
    }

    /// What is kept of a server that has a place.
    pub(crate) fn get_mut(&mut self, server: Endpoint) -> Option<&mut T> {
        self.places.get_mut(&server).map(|place| &mut place.kept)
    }

    /// All servers that have a place.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Endpoint, &mut T)> {
        self.places.iter_mut().map(|(&server, place)| (server, &mut place.kept))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Servers that are each heard of once in `every` seconds, for four rounds; how many of them had to go in each.
    fn evicted(places: usize, servers: u16, every: f64) -> [usize; 4] {
        let mut table = Servers::new(places);
        let mut now = KernelNs(1_000_000_000_000);
        std::array::from_fn(|_| {
            let mut evicted = 0;
            for port in 1..=servers {
                now = now.plus(Duration::from_secs_f64(every / f64::from(servers)));
                let server = (Role::Client, SocketAddr::from(([10, 0, 0, 1], port)));
                if table.renew(server, now) {
                    continue;
                }
                let room = table.make_room(now);
                evicted += usize::from(matches!(room, Room::Made(..)));
                if room != Room::None {
                    table.settle(server, now, ());
                }
            }
            evicted
        })
    }

    #[test]
    fn servers_that_are_heard_of_again_and_again_stay_as_far_as_there_are_places() {
        for (places, servers, every, each_round) in [
            // As many as may hold a place without a tenure.
            (500, 166, 30.0, [0, 0, 0, 0]),
            // More; from the second time on they are here to stay.
            (500, 400, 30.0, [234, 1, 0, 0]),
            (100, 100, 30.0, [0, 0, 0, 0]),
            // More than there are places: those that have one keep it.
            (100, 120, 30.0, [20, 100, 0, 0]),
            // Heard of too seldom.
            (100, 120, 4000.0, [20, 120, 120, 120]),
        ] {
            assert_eq!(evicted(places, servers, every), each_round, "{servers} servers, {places} places");
        }
    }
}
