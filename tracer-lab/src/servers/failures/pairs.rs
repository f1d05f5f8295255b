//! Which servers fail in which way, and who asks them.

use std::fmt;

use crate::servers::failures::batch::{Batch, Pair, Size, Where};
use crate::servers::failures::client::Library;
use crate::servers::failures::front::Front;
use crate::servers::failures::kind as kinds;
use crate::servers::failures::kind::{Break, Kind};
use crate::servers::failures::upstream as servers;
use crate::servers::failures::upstream::{Speaks, Upstream};

const FRONTS: [Front; 9] = [
    Front::Nginx,
    Front::HAProxy,
    Front::Envoy,
    Front::Client(Library::Agent),
    Front::Client(Library::Fetch),
    Front::Client(Library::Axios),
    Front::Client(Library::Requests),
    Front::Client(Library::Httpx),
    Front::Client(Library::Aiohttp),
];
/// Not where a network breaks: these send requests again that met a close, or close idle connections themselves.
const IN_PEACE: [Front; 3] =
    [Front::Client(Library::Go), Front::Client(Library::Java), Front::Client(Library::AgentKeepAlive)];
const PLAIN: [Front; 1] = [Front::Raw];

/// Those that are small, and here for other tests.
const FAST_SERVERS: [&Upstream; 5] =
    [&servers::NODE, &servers::APACHE, &servers::NGINX, &servers::HAPROXY, &servers::GEVENT];
/// Those that keep connections.
const SERVERS: [&Upstream; 15] = [
    &servers::NODE,
    &servers::APACHE,
    &servers::NGINX,
    &servers::HAPROXY,
    &servers::ENVOY,
    &servers::LIGHTTPD,
    &servers::GEVENT,
    &servers::GTHREAD,
    &servers::UVICORN,
    &servers::WAITRESS,
    &servers::TORNADO,
    &servers::AIOHTTP,
    &servers::JDK,
    &servers::TOMCAT,
    &servers::GO,
];

/// Those behind TLS, and who asks them.
const TLS_SERVERS: [&Upstream; 4] =
    [&servers::NODE_TLS, &servers::NGINX_TLS, &servers::HAPROXY_TLS, &servers::GO_TLS];
const TLS_FRONTS: [Front; 6] = [
    Front::Nginx,
    Front::HAProxy,
    Front::Envoy,
    Front::Client(Library::Agent),
    Front::Client(Library::Requests),
    Front::Client(Library::Httpx),
];
const TLS_IN_PEACE: [Front; 1] = [Front::Client(Library::Go)];
const TLS_OTHERS: [(&Kind, Where); 4] = [
    (&kinds::TLS_NO_ANSWER, Where::Software(&servers::NODE_TLS)),
    (&kinds::TLS_RESET, Where::Software(&servers::NODE_TLS)),
    (&kinds::KILLED_WORKER, Where::Software(&servers::SYNC_TLS)),
    (&kinds::WORKER_TIMEOUT, Where::Software(&servers::SYNC_TLS)),
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

/// All of them.
pub(crate) fn batches() -> Vec<Batch> {
    let fronts = [&FRONTS[..], &PLAIN].concat();
    let asking = [&fronts[..], &IN_PEACE].concat();
    let mut batches: Vec<_> = asking.iter().map(|front| batch(races(&SERVERS, &[*front]), 12, 24)).collect();
    batches.extend(asking.iter().map(|front| batch(of(&OTHERS, &[*front]), 6, 6)));
    let asking = [&TLS_FRONTS[..], &TLS_IN_PEACE].concat();
    batches.extend(asking.iter().map(|front| batch(races(&TLS_SERVERS, &[*front]), 12, 12)));
    batches.push(batch(of(&TLS_OTHERS, &TLS_FRONTS), 6, 6));
    let mut rare = rare(&UPLOADERS);
    rare.extend(of(&[(&kinds::WORKER_TIMEOUT, FPM), (&kinds::LIMIT, FPM)], &[Front::Nginx]));
    batches.extend([batch(rare, 10, 8), batch(own(), 10, 8)]);
    batches.extend(BREAKS.map(|one| batch(of(&[one], &meeting(one.0, &fronts)), 10, 2)));
    batches
}

/// Those that meet such a failure: Node's agent probes idle connections, and is the first to know that one is forgotten.
fn meeting(kind: &Kind, fronts: &[Front]) -> Vec<Front> {
    let probes = |front: &Front| kind.breaks == Break::FailOver && *front == Front::Client(Library::Agent);
    fronts.iter().copied().filter(|front| !probes(front)).collect()
}

/// As many as fit into a minute or two.
pub(crate) fn fast_batches() -> Vec<Batch> {
    let [nginx, raw, haproxy] = [Front::Nginx, Front::Raw, Front::HAProxy];
    let others = of(&OTHERS, &[nginx, Front::Client(Library::Agent)]);
    let breaks = BREAKS.map(|one| batch(of(&[one], &[nginx, haproxy, raw]), 4, 2));
    let batches = [
        batch(races(&FAST_SERVERS, &[nginx, raw, haproxy]), 8, 10),
        batch([others, rare(&[raw, nginx])].concat(), 4, 4),
    ];
    batches.into_iter().chain(breaks).collect()
}

const fn batch(pairs: Vec<Pair>, walkers: u32, rounds: u32) -> Batch {
    Batch { pairs, size: Size { walkers, rounds } }
}

fn races(servers: &[&'static Upstream], fronts: &[Front]) -> Vec<Pair> {
    let kind = |server: &Upstream| match server.speaks {
        Speaks::Https => &kinds::TLS_RACE,
        _ if server.reads_first => &kinds::TAKEN_RACE,
        _ => &kinds::RACE,
    };
    let races: Vec<_> = servers.iter().map(|server| (kind(server), Where::Software(server))).collect();
    of(&races, fronts)
}

/// What speaks a language of its own.
fn own() -> Vec<Pair> {
    let own: [(&Kind, &Upstream, Library); 4] = [
        (&kinds::GOAWAY, &servers::GRPC, Library::Grpc),
        (&kinds::LATE, &servers::REDIS, Library::Redis),
        (&kinds::LATE, &servers::POSTGRES, Library::Psycopg),
        (&kinds::LATE_RESET, &servers::MARIADB, Library::Pymysql),
    ];
    let pair = |(kind, server, library)| Pair {
        kind,
        server: Where::Software(server),
        front: Front::Client(library),
    };
    own.map(pair).to_vec()
}

/// What only some can ask for.
fn rare(uploaders: &[Front]) -> Vec<Pair> {
    [of(&UPLOADS, uploaders), of(&[(&kinds::HALF_CLOSED, NODE)], &PLAIN)].concat()
}

const NODE: Where = Where::Software(&servers::NODE);
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
