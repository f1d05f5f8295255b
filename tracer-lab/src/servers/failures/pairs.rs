//! Which servers fail in which way, and who asks them.

use std::fmt;

use crate::servers::failures::batch::{Pair, Size, Where};
use crate::servers::failures::client::Library;
use crate::servers::failures::front::Front;
use crate::servers::failures::kind as kinds;
use crate::servers::failures::kind::Kind;
use crate::servers::failures::upstream as servers;
use crate::servers::failures::upstream::Upstream;

const FRONTS: [Front; 7] = [
    Front::Nginx,
    Front::HAProxy,
    Front::Client(Library::Agent),
    Front::Client(Library::Fetch),
    Front::Client(Library::Requests),
    Front::Client(Library::Httpx),
    Front::Client(Library::Aiohttp),
];
const PLAIN: [Front; 1] = [Front::Raw];

/// Those that are small, and here for other tests.
const FAST_SERVERS: [&Upstream; 5] =
    [&servers::NODE, &servers::APACHE, &servers::NGINX, &servers::HAPROXY, &servers::GEVENT];
/// Those that keep connections.
const SERVERS: [&Upstream; 13] = [
    &servers::NODE,
    &servers::APACHE,
    &servers::NGINX,
    &servers::HAPROXY,
    &servers::LIGHTTPD,
    &servers::GEVENT,
    &servers::GTHREAD,
    &servers::UVICORN,
    &servers::WAITRESS,
    &servers::TORNADO,
    &servers::AIOHTTP,
    &servers::JDK,
    &servers::GO,
];

/// Everything that fails without a race, on which server.
const OTHERS: [(&Kind, Where); 9] = [
    (&kinds::NO_ANSWER, Where::Software(&servers::NODE)),
    (&kinds::RESET, Where::Software(&servers::NODE)),
    (&kinds::CUT, Where::Software(&servers::NODE)),
    (&kinds::GAVE_UP, Where::Software(&servers::NODE)),
    (&kinds::KILLED_WORKER, Where::Software(&servers::SYNC)),
    (&kinds::WORKER_TIMEOUT, Where::Software(&servers::SYNC)),
    (&kinds::REFUSED, Where::Nobody),
    (&kinds::UNREACHABLE, Where::Silence),
    (&kinds::NO_ROUTE, Where::NoRoute),
];
/// Of these, uploads, which not every client can make slowly.
const UPLOADS: [(&Kind, Where); 2] = [
    (&kinds::REFUSED_UPLOAD, Where::Software(&servers::NODE)),
    (&kinds::CUT_UPLOAD, Where::Software(&servers::NODE)),
];
const UPLOADERS: [Front; 5] = [
    Front::Raw,
    Front::Nginx,
    Front::Client(Library::Agent),
    Front::Client(Library::Requests),
    Front::Client(Library::Httpx),
];
/// What breaks the network or the server for all.
const BREAKS: [(&Kind, Where); 5] = [
    (&kinds::NEVER_READ, NODE),
    (&kinds::DESTROYED, NODE),
    (&kinds::LOST, NODE),
    (&kinds::FORGOTTEN, NODE),
    (&kinds::OVERFLOW, Where::Software(&servers::OVERLOADED)),
];

type Batch = (Vec<Pair>, Size);

/// All of them.
pub(crate) fn batches() -> Vec<Batch> {
    let races = FRONTS.iter().chain(&PLAIN).map(|front| {
        let pairs =
            SERVERS.map(|server| Pair { kind: &kinds::RACE, server: Where::Software(server), front: *front });
        (pairs.to_vec(), Size { walkers: 12, rounds: 24 })
    });
    let fronts = FRONTS.iter().chain(&PLAIN);
    let others = fronts.map(|front| (of(&OTHERS, &[*front]), Size { walkers: 6, rounds: 6 }));
    let size = Size { walkers: 10, rounds: 2 };
    let breaks = BREAKS.map(|one| (of(&[one], &[&FRONTS[..], &PLAIN].concat()), size));
    races.chain(others).chain(single(Size { walkers: 10, rounds: 8 })).chain(breaks).collect()
}

/// As many as fit into a minute or two.
pub(crate) fn fast_batches() -> Vec<Batch> {
    let races = [Front::Nginx, Front::Raw, Front::HAProxy].iter().flat_map(|front| {
        FAST_SERVERS.map(|server| Pair { kind: &kinds::RACE, server: Where::Software(server), front: *front })
    });
    let races = (races.collect(), Size { walkers: 8, rounds: 10 });
    let fronts = [Front::Nginx, Front::Client(Library::Agent)];
    let others = (of(&OTHERS, &fronts), Size { walkers: 4, rounds: 4 });
    let size = Size { walkers: 4, rounds: 2 };
    let breaks = BREAKS.map(|one| (of(&[one], &[Front::Nginx, Front::HAProxy, Front::Raw]), size));
    let small = Size { walkers: 4, rounds: 4 };
    [races, others].into_iter().chain(single_fast(small)).chain(breaks).collect()
}

const NODE: Where = Where::Software(&servers::NODE);

/// What only some can ask for.
fn single(size: Size) -> Vec<Batch> {
    let fpm = [(&kinds::WORKER_TIMEOUT, FPM), (&kinds::LIMIT, FPM)];
    let mut pairs = of(&UPLOADS, &UPLOADERS);
    pairs.extend(of(&[(&kinds::HALF_CLOSED, NODE)], &PLAIN));
    pairs.extend(of(&fpm, &[Front::Nginx]));
    vec![(pairs, size)]
}

fn single_fast(size: Size) -> Vec<Batch> {
    let mut pairs = of(&UPLOADS, &[Front::Raw, Front::Nginx]);
    pairs.extend(of(&[(&kinds::HALF_CLOSED, NODE)], &PLAIN));
    vec![(pairs, size)]
}

const FPM: Where = Where::Software(&servers::FPM);

/// Each of these under each of those.
fn of(kinds: &[(&'static Kind, Where)], fronts: &[Front]) -> Vec<Pair> {
    let pair = |front: &Front| {
        kinds.iter().map(|&(kind, server)| Pair { kind, server, front: *front }).collect::<Vec<_>>()
    };
    fronts.iter().flat_map(pair).collect()
}

impl fmt::Display for Pair {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {} - {}", self.kind.name, self.front, self.server.name())
    }
}
