//! Keep-alive timeouts as the tracer infers them, against servers that people run.
//!
//! Every server closes the idle connections of clients that keep them; the clients measure how long theirs idled, and
//! are the judge. All servers run at once, under one tracer, on the hosts of a [`Network`].

mod cases;
mod client;
mod databases;
mod failures;
mod healthy;
mod plain;
mod setting;
mod software;
mod table;
pub(crate) mod watch;

use std::net::SocketAddr;
use std::process;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::privilege;
pub use crate::servers::cases::{CASES, Case};
use crate::servers::client::Clients;
pub use crate::servers::failures::{Table as FailureTable, failures};
pub use crate::servers::healthy::{Health, healthy};
use crate::servers::setting::{SETTINGS, Setting};
use crate::servers::software::Server;
use crate::servers::table::Row;
pub use crate::servers::table::Table;
use crate::servers::watch::Watch;
use crate::testbed::daemon::{DaemonUnderTest, MAX_SERIES};
use crate::testbed::network::{Family, Network};

/// Closes of each server that clients wait for.
const CLOSES: usize = 14;
/// Others may keep the machine busy, but not all the time.
const TRIES: usize = 3;

/// Compares the keep-alive timeouts of real servers with what the tracer infers.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Only those that show their timeout within so many seconds
    #[arg(long, value_name = "SECONDS")]
    within: Option<u64>,
    /// Instead, let healthy traffic pass for so many seconds, and fail if it gets any advice
    #[arg(long, value_name = "SECONDS")]
    healthy: Option<u64>,
    /// Instead, let requests fail on real software in all known ways, and compare each error that an application
    /// reports
    #[arg(long)]
    failures: bool,
    /// Of failures and healthy traffic, only that of software which is small, as in CI
    #[arg(long)]
    fast: bool,
    /// Of the failures, only those with one of these words in their names
    #[arg(long, value_delimiter = ',', value_name = "WORD,…", requires = "failures")]
    only: Vec<String>,
}

/// Watches all servers or healthy traffic, prints what came of it, and fails if the tracer is wrong about it.
pub fn run(args: &Args) -> Result<()> {
    ensure!(privilege::is_root(), "the servers run in network namespaces: run it as root");
    crate::testbed::host::sweep()?;
    if args.failures {
        let table = failures(args.fast, &args.only)?;
        print!("{table}");
        return table.is_ok();
    }
    if let Some(seconds) = args.healthy {
        let health = healthy(args.fast, Duration::from_secs(seconds))?;
        print!("{health}");
        return health.is_ok();
    }
    let tracer = tracer()?;
    let table = compare(&tracer, args.within.map_or(Duration::MAX, Duration::from_secs))?;
    print!("{table}");
    tracer.stop()?;
    table.is_ok()
}

/// A tracer that shows these servers whatever else this host talks to.
pub fn tracer() -> Result<DaemonUnderTest> {
    DaemonUnderTest::start_with(&["--max-series", MAX_SERIES])
}

/// Lets every server that takes no longer than `within` close idle connections, and compares what is inferred with what
/// its clients saw; again if the machine was too busy for anybody to be on time.
pub fn compare(tracer: &DaemonUnderTest, within: Duration) -> Result<Table> {
    let mut table = compare_once(tracer, within)?;
    for _ in 1..TRIES {
        if table.is_ok().is_ok() || !table.is_disturbed() {
            break;
        }
        table = compare_once(tracer, within)?;
    }
    Ok(table)
}

fn compare_once(tracer: &DaemonUnderTest, within: Duration) -> Result<Table> {
    let net = Network::build(Family::V4)?;
    let directory = TempDir::new().context("no temporary directory for the servers")?;
    let settings = SETTINGS.iter().filter(|setting| setting.lasts(CLOSES) <= within);
    let servers: Vec<(&Setting, Server)> = settings
        .map(|setting| {
            let server = Server::start(
                &net.server,
                endpoint(&net),
                setting.software,
                setting.timeout,
                directory.path(),
            );
            Ok((setting, server.with_context(|| setting.to_string())?))
        })
        .collect::<Result<_>>()?;
    let watches: Vec<Watch> = servers.iter().map(|(_, server)| Watch::new(server.endpoint)).collect();
    let open = AtomicUsize::new(servers.len());
    let began = Instant::now();
    let client = |(setting, server): &(&Setting, Server), watch: &Watch| {
        let clients = Clients::of(setting, server.endpoint);
        let closes = net.client.enter(|| clients.make(CLOSES, || watch.client_saw_close()));
        open.fetch_sub(1, Ordering::Relaxed);
        closes
    };
    let closes: Vec<_> = thread::scope(|scope| {
        let clients: Vec<_> = servers
            .iter()
            .zip(&watches)
            .map(|(server, watch)| scope.spawn(|| client(server, watch)))
            .collect();
        watch::until_judged(tracer, &watches, &open).map(|()| clients.into_iter().map(client::join).collect())
    })?;
    let rows = servers.iter().zip(watches).zip(closes).map(|(((setting, server), watch), closes)| {
        let closes = closes.with_context(|| setting.to_string())?;
        Ok(Row::new(setting, server.version.clone(), &closes, watch.finish(began)))
    });
    Ok(Table(rows.collect::<Result<_>>()?))
}

/// A port of its own for every server: the tracer's metrics know servers, not namespaces.
fn endpoint(net: &Network) -> SocketAddr {
    static USED: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(process::id() % 100).unwrap_or(0) * 100;
    SocketAddr::new(net.server_endpoint().ip(), first + USED.fetch_add(1, Ordering::Relaxed) % 100)
}
