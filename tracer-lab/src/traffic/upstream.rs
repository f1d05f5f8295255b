//! An upstream that closes idle connections and races with its clients, and what the client host's packets say of it.

use std::collections::{BTreeMap, VecDeque};
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use socket2::SockRef;
use tempfile::TempDir;

use crate::oracle::evidence::weigh;
use crate::testbed::capture::{Capture, FIN, RST, SYN, Segment};
use crate::testbed::network::{Family, Network};
use crate::testbed::sockets::{client_here, listen};
use crate::testbed::wait::let_pass;
use crate::traffic::ends::Ends;

/// The upstream's keep-alive timeout: so long that closes which a busy machine delays still agree.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Before a connection rests.
const EXCHANGES: usize = 2;
/// What is lost in a race.
const REQUEST: &[u8] = b"POST /order HTTP/1.1\r\nHost: a\r\n\r\n";
/// Between two connections, so that their closes are not one.
const APART: Duration = Duration::from_millis(150);
/// Clients that close first do so after this time.
const SOONER: Duration = Duration::from_millis(200);
/// Shorter pauses are no idle time to the tracer.
const PAUSE: Duration = Duration::from_millis(50);

/// An upstream on a host of its own, with a port of its own.
pub struct Upstream {
    net: Network,
}

/// What a capture proves about the connections to an upstream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Idle time before each request that was lost to a keep-alive race, in seconds.
    pub races: Vec<f64>,
    /// Those of these requests that met a FIN.
    pub after_fin: usize,
    /// Requests that were answered.
    pub answered: usize,
    /// Those of them that were not their connection's first.
    pub reuses: usize,
    /// Connections that were refused.
    pub refused: usize,
    /// Idle time at each close of an idle connection by the server, in seconds.
    pub closed_by_server: Vec<f64>,
    /// The same for the client.
    pub closed_by_client: Vec<f64>,
    /// RST segments.
    pub rst_segments: usize,
}

impl Tally {
    /// Adds another tally.
    pub fn add(&mut self, other: Self) {
        self.races.extend(other.races);
        self.after_fin += other.after_fin;
        self.answered += other.answered;
        self.reuses += other.reuses;
        self.refused += other.refused;
        self.closed_by_server.extend(other.closed_by_server);
        self.closed_by_client.extend(other.closed_by_client);
        self.rst_segments += other.rst_segments;
    }
}

/// A connection that rests, and since when.
struct Resting {
    ends: Ends,
    since: Instant,
}

impl Upstream {
    /// Makes the hosts; nobody listens at `port` yet.
    pub fn build(port: u16) -> Result<Self> {
        Ok(Self { net: Network::build_for_port(Family::V4, port)? })
    }

    /// Its address, as the clients see it.
    #[must_use]
    pub fn endpoint(&self) -> SocketAddr {
        self.net.server_endpoint()
    }

    /// The upstream closes `count` connections after its timeout, one after the other, while their clients would keep
    /// them.
    pub fn closes_idle_connections(&self, count: usize) -> Result<Tally> {
        self.captured(|| {
            let listener = self.listen()?;
            let mut waiting = VecDeque::new();
            for _ in 0..count {
                let next = Instant::now() + APART;
                waiting.push_back(self.connect(&listener)?);
                while waiting.front().is_some_and(|resting: &Resting| resting.since + TIMEOUT < next) {
                    waiting.pop_front().map(close_idle).transpose()?;
                }
                sleep_until(next);
            }
            waiting.into_iter().try_for_each(close_idle)
        })
    }

    /// Clients close `count` connections before the upstream would.
    pub fn is_left_by_clients(&self, count: usize) -> Result<Tally> {
        self.captured(|| {
            let listener = self.listen()?;
            for _ in 0..count {
                let Ends { client, mut server, .. } = self.connect(&listener)?.ends;
                let_pass(SOONER);
                drop(client);
                ensure!(server.read(&mut [0])? == 0, "the client says more");
            }
            Ok(())
        })
    }

    /// `count` requests are sent just as the upstream closes: in turns it has them unread, or its FIN has gone ahead.
    pub fn loses_requests(&self, count: usize) -> Result<Tally> {
        self.captured(|| {
            let listener = self.listen()?;
            let resting = (0..count).map(|_| self.connect(&listener)).collect::<Result<Vec<_>>>()?;
            for (number, Resting { ends, since }) in resting.into_iter().enumerate() {
                sleep_until(since + TIMEOUT);
                if number.is_multiple_of(2) {
                    ends.race_unread(REQUEST)?;
                } else {
                    ends.race_after_fin(REQUEST)?;
                }
            }
            Ok(())
        })
    }

    /// `count` clients come while nobody listens.
    pub fn refuses(&self, count: usize) -> Result<Tally> {
        self.captured(|| {
            self.net.client.enter(|| {
                for _ in 0..count {
                    let client = client_here(self.net.client_address())?;
                    let refused = SockRef::from(&client).connect(&self.endpoint().into());
                    ensure!(refused.is_err(), "somebody listens at {}", self.endpoint());
                }
                Ok(())
            })
        })
    }

    fn listen(&self) -> Result<TcpListener> {
        listen(&self.net, &self.net.server, 16)
    }

    fn connect(&self, listener: &TcpListener) -> Result<Resting> {
        let ends = Ends::open(&self.net, listener, self.endpoint())?;
        (0..EXCHANGES).try_for_each(|_| ends.exchange())?;
        Ok(Resting { ends, since: Instant::now() })
    }

    /// Runs under a capture on the client host.
    fn captured(&self, run: impl FnOnce() -> Result<()>) -> Result<Tally> {
        let directory = TempDir::new().context("no temporary directory for the capture")?;
        let capture = Capture::start(&self.net.client, directory.path().join("client.pcap"))?;
        run()?;
        Ok(tally(&capture.finish_complete(self.net.nowhere())?, self.endpoint()))
    }
}

fn close_idle(Resting { ends, since }: Resting) -> Result<()> {
    sleep_until(since + TIMEOUT);
    ends.server_closes().map(drop)
}

fn sleep_until(then: Instant) {
    sleep(then.saturating_duration_since(Instant::now()));
}

fn tally(segments: &[Segment], server: SocketAddr) -> Tally {
    let mut tally = Tally {
        rst_segments: segments.iter().filter(|segment| segment.has(RST)).count(),
        ..Tally::default()
    };
    let mut connections: BTreeMap<SocketAddr, Vec<&Segment>> = BTreeMap::new();
    for segment in segments {
        let client = if segment.source == server { segment.destination } else { segment.source };
        connections.entry(client).or_default().push(segment);
    }
    for (client, of_connection) in connections {
        let evidence = weigh(segments, client, server);
        let answered = evidence.answered as usize;
        tally.answered += answered;
        tally.reuses += answered.saturating_sub(1);
        if let Some(race) = evidence.race.filter(|_| evidence.rsts_from_server > 0) {
            tally.races.extend(evidence.idle);
            tally.after_fin += usize::from(["fin_in_flight", "fin_unprocessed"].contains(&race));
        } else if of_connection.iter().all(|segment| segment.has(SYN) || segment.has(RST)) {
            tally.refused += 1;
        }
        if let Some((by, idle)) = idle_close(&of_connection, server) {
            let closes = if by == server { &mut tally.closed_by_server } else { &mut tally.closed_by_client };
            closes.push(idle);
        }
    }
    tally
}

/// Who sent the first FIN, and how long nobody had said anything, if the server had had the last word.
fn idle_close(segments: &[&Segment], server: SocketAddr) -> Option<(SocketAddr, f64)> {
    let at = segments.iter().position(|segment| segment.has(FIN))?;
    let last = segments[..at].iter().rfind(|segment| segment.payload > 0)?;
    let idle = segments[at].time.checked_sub(last.time)?;
    (last.source == server && idle >= PAUSE).then(|| (segments[at].source, idle.as_secs_f64()))
}
