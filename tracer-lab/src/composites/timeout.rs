//! A server whose idle timeout is known, and what lies unread when it closes: at that age a race, else none.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::oracle::describe::describe;
use crate::servers::watch::timeout;
use crate::testbed::daemon::DaemonUnderTest;
use crate::testbed::network::{Family, Network};
use crate::testbed::sockets::listen;
use crate::testbed::wait::{let_pass, until};
use crate::traffic::ends::{Ends, is_reset};
use crate::traffic::exchange::at_once;

/// When the server closes idle connections.
const TIMEOUT: Duration = Duration::from_millis(600);
/// Closes until that is known, and from one to the next.
const CLOSES: u32 = 10;
const APART: Duration = Duration::from_millis(130);
/// How late the server's event loop is: longer than the race window of an ordinary daemon.
const LATE: Duration = Duration::from_millis(15);
/// Much longer than that, at an age at which the server does not close.
const HUNG: Duration = Duration::from_millis(100);

pub(crate) fn late_loop(_: &DaemonUnderTest, family: Family) -> Result<()> {
    let net = Network::build(family)?;
    let (server, netns) = (net.server_endpoint(), [net.server.inum(), net.client.inum()]);
    let tracer = DaemonUnderTest::start_with(&[])?;
    let listener = listen(&net, &net.server, 16)?;
    let open = || Ends::open(&net, &listener, server);
    let idle = (0..CLOSES).map(|_| open()).collect::<Result<Vec<_>>>()?;
    at_once(idle.into_iter().zip(0..), |(ends, number)| {
        let_pass(APART * number);
        ends.exchange()?;
        let_pass(TIMEOUT);
        ends.server_closes().map(drop)
    })?;
    until("the timeout to be known", || is_known(&tracer, server))?;
    for (rest, unread, cause, race) in
        [(TIMEOUT, LATE, "keepalive_race", Some("fin_not_sent")), (TIMEOUT / 4, HUNG, "never_read", None)]
    {
        tracer.lines.forget(&netns);
        close_unread(open()?, rest, unread)?;
        let reported = tracer.lines.resets(&netns, 2);
        let said: Vec<_> = reported.iter().map(describe).collect();
        let right = reported.iter().all(|reset| {
            (reset.cause.as_str(), reset.race.as_deref(), reset.request_read.as_str())
                == (cause, race, "never")
        });
        let said = said.join(" + ");
        ensure!(reported.len() == 2 && right, "unread for {unread:?} after {rest:?}: {said}");
    }
    tracer.stop()
}

fn is_known(tracer: &DaemonUnderTest, server: SocketAddr) -> Result<Option<()>> {
    let metrics = tracer.metrics()?;
    Ok(["server", "client"].iter().all(|role| timeout(&metrics, role, server).is_some()).then_some(()))
}

/// A request lies unread for this time when the server closes.
fn close_unread(mut ends: Ends, rest: Duration, unread: Duration) -> Result<()> {
    ends.exchange()?;
    let_pass(rest);
    ends.client.write_all(b"next request")?;
    ensure!(ends.server.peek(&mut [0])? == 1, "no request arrives");
    let_pass(unread);
    drop(ends.server);
    is_reset(&ends.client)
}
