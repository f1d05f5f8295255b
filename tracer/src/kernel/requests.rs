//! The totals of requests that the kernel side keeps for each server, and the marks it is given.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    os::fd::AsFd as _,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use aya::{
    Ebpf,
    maps::{HashMap, Map, MapData, PerCpuHashMap},
};
use tracer_common::{ROLE_CLIENT, ROLE_SERVER, RequestNumbers, RequestTotals, ServerKey, map};
use tracer_core::{
    keepalive::{Reuses, agree},
    model::Role,
};

use super::take_map;

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// A [`ServerKey`] as the bytes the kernel compares.
type KeyBytes = [u8; size_of::<ServerKey>()];

/// Which server, from which end; `None` stands for all that had no room.
pub(crate) type Counted = (Role, Option<SocketAddr>);

/// The totals of each server.
type Totals = PerCpuHashMap<MapData, KeyBytes, RequestNumbers>;

/// The totals of all servers.
pub struct RequestCounters(Totals);

impl RequestCounters {
    /// Takes the maps out of the loaded object, and makes the entries for servers that will have no room. To be called
    /// before any probe is attached.
    pub fn take(ebpf: &mut Ebpf) -> Result<(Self, LateMarks)> {
        let map = take_map(ebpf, map::REQUESTS)?;
        let read_only = second_handle(&map)?;
        let mut totals = Totals::try_from(map)?;
        let cpus = aya::util::nr_cpus()
            .map_err(|(_, error)| error)
            .context("cannot tell how many CPUs there are")?;
        for role in [ROLE_SERVER, ROLE_CLIENT] {
            let zeroes = vec![[0; size_of::<RequestTotals>() / 8]; cpus].try_into()?;
            totals.insert(other(role), zeroes, 0).context("cannot set up the totals of requests")?;
        }
        let map = take_map(ebpf, map::LATE)?;
        Ok((
            Self(totals),
            LateMarks { map: HashMap::try_from(map)?, totals: read_only, set: BTreeMap::new() },
        ))
    }

    /// Reads them all. Servers that come or go meanwhile may be missing.
    #[must_use]
    pub fn read(&self) -> BTreeMap<Counted, RequestTotals> {
        let mut servers = BTreeMap::<Counted, RequestTotals>::new();
        for (key, per_cpu) in self.0.iter().filter_map(Result::ok) {
            let Some(server) = from_bytes(&key) else { continue };
            let total = servers.entry(server).or_default();
            per_cpu.iter().for_each(|numbers| total.add(&RequestTotals::from(*numbers)));
        }
        servers
    }

    /// Makes room: nothing was counted of this server yet.
    pub fn forget(&mut self, role: Role, server: SocketAddr) {
        for key in to_bytes(role, server) {
            // There is one of the two.
            let _ = self.0.remove(&key);
        }
    }
}

/// The same map, for another thread: neither waits for the other.
fn second_handle(map: &Map) -> Result<Totals> {
    let Map::PerCpuHashMap(data) = map else { bail!("the map of requests is of another type") };
    let descriptor =
        data.fd().as_fd().try_clone_to_owned().context("cannot open the map of requests twice")?;
    Ok(Totals::try_from(Map::PerCpuHashMap(MapData::from_fd(descriptor)?))?)
}

/// From which idle time on the kernel side counts a reuse as late.
pub struct LateMarks {
    map: HashMap<MapData, KeyBytes, u64>,
    totals: Totals,
    set: BTreeMap<(Role, SocketAddr), Mark>,
}

/// A mark, and the totals when it was set.
struct Mark {
    idle: Duration,
    before: RequestTotals,
}

impl LateMarks {
    /// What was counted of one server.
    fn of(&self, role: Role, server: SocketAddr) -> RequestTotals {
        let mut total = RequestTotals::default();
        for per_cpu in to_bytes(role, server).iter().filter_map(|key| self.totals.get(key, 0).ok()) {
            per_cpu.iter().for_each(|numbers| total.add(&RequestTotals::from(*numbers)));
        }
        total
    }

    /// Sets these marks and no others, and says how many reuses came late since each was set. Where the kernel side has
    /// no room for a mark nothing counts as late.
    pub fn follow<'a>(
        &mut self,
        marks: impl Iterator<Item = (Role, SocketAddr, Duration)> + 'a,
    ) -> BTreeMap<(Role, SocketAddr), Reuses> {
        let mut before = std::mem::take(&mut self.set);
        let mut found = BTreeMap::new();
        for (role, server, idle) in marks {
            let totals = self.of(role, server);
            let mark = match before.remove(&(role, server)) {
                // Fewer than before: the server was forgotten meanwhile.
                Some(mark) if agree(mark.idle, idle) && mark.before.requests <= totals.requests => mark,
                _ => {
                    let nanoseconds = u64::try_from(idle.as_nanos()).unwrap_or(u64::MAX);
                    for key in to_bytes(role, server) {
                        let _ = self.map.insert(key, nanoseconds, 0);
                    }
                    Mark { idle, before: totals }
                }
            };
            let reuses = Reuses {
                count: totals.reuses().saturating_sub(mark.before.reuses()),
                late: totals.late.saturating_sub(mark.before.late),
            };
            found.insert((role, server), reuses);
            self.set.insert((role, server), mark);
        }
        for (role, server) in before.into_keys() {
            for key in to_bytes(role, server) {
                let _ = self.map.remove(&key);
            }
        }
        found
    }
}

fn other(role: u32) -> KeyBytes {
    let mut key = KeyBytes::default();
    key[20..].copy_from_slice(&role.to_ne_bytes());
    key
}

/// The keys a server can have: an IPv4 address may also belong to an IPv6 socket.
fn to_bytes(role: Role, server: SocketAddr) -> Vec<KeyBytes> {
    let role = match role {
        Role::Server => ROLE_SERVER,
        Role::Client => ROLE_CLIENT,
    };
    let key = |address: &[u8], family: u16| {
        let mut key = other(role);
        key[..address.len()].copy_from_slice(address);
        key[16..18].copy_from_slice(&server.port().to_ne_bytes());
        key[18..20].copy_from_slice(&family.to_ne_bytes());
        key
    };
    match server.ip() {
        IpAddr::V4(ip) => vec![key(&ip.octets(), AF_INET), key(&ip.to_ipv6_mapped().octets(), AF_INET6)],
        IpAddr::V6(ip) => vec![key(&ip.octets(), AF_INET6)],
    }
}

fn from_bytes(key: &KeyBytes) -> Option<Counted> {
    let short = |at: usize| u16::from_ne_bytes([key[at], key[at + 1]]);
    let role = match u32::from_ne_bytes([key[20], key[21], key[22], key[23]]) {
        ROLE_SERVER => Role::Server,
        ROLE_CLIENT => Role::Client,
        _ => return None,
    };
    let address: [u8; 16] = key[..16].try_into().ok()?;
    let address = match short(18) {
        0 => return Some((role, None)),
        AF_INET => IpAddr::from([address[0], address[1], address[2], address[3]]),
        AF_INET6 => Ipv6Addr::from(address).to_canonical(),
        _ => return None,
    };
    Some((role, Some(SocketAddr::new(address, short(16)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_as_the_server_it_was_made_of() {
        for server in ["10.0.0.5:8080", "[::1]:80", "[2001:db8::1]:443"] {
            let server: SocketAddr = server.parse().unwrap();
            for role in [Role::Server, Role::Client] {
                for key in to_bytes(role, server) {
                    assert_eq!(from_bytes(&key), Some((role, Some(server))));
                }
            }
        }
        assert_eq!(from_bytes(&other(ROLE_CLIENT)), Some((Role::Client, None)));
    }
}
