//! The storm's accounting: what the kernel sent against what the daemon counted, and what that cost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::bench::daemon;
use crate::bench::report::table;
use crate::bench::storm::Storm;
use crate::testbed::daemon::DaemonUnderTest;
use crate::testbed::scrape::Scrape;
use crate::testbed::wait::let_pass;

/// Between two scrapes during the storm.
const SCRAPED_EVERY: Duration = Duration::from_millis(100);
/// By then the daemon has read all that is in the ring.
const READ_WITHIN: Duration = Duration::from_secs(3);

/// What the daemon has counted.
struct Counts {
    sent: u64,
    received: u64,
    taken: u64,
    /// Found the ring full, or their probe was running already.
    lost: u64,
}

impl Counts {
    fn of(scrape: &Scrape) -> Result<Self> {
        Ok(Self {
            sent: scrape.value("tracer_rst_segments_sent_total")?,
            received: scrape.value("tracer_rst_segments_received_total")?,
            taken: scrape.sum("tracer_events_total", &[])?,
            lost: scrape.value("tracer_events_lost_total{buffer=\"events\"}")?
                + scrape.sum("tracer_probe_misses_total", &[])?,
        })
    }

    fn records(&self) -> u64 {
        self.taken + self.lost
    }
}

/// The daemon's flags, a column each.
const COLUMNS: [(&str, &[&str]); 2] = [("default flags", &[]), ("`--events off`", &["--events", "off"])];

/// Storms for `time` under a daemon that is scraped all the while, and shows what was counted.
pub(crate) fn tally(time: Duration) -> Result<String> {
    let storm = Storm::prepare()?;
    let mut head = vec!["SYNs to a closed port and abortive closes".to_owned()];
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (name, flags) in COLUMNS {
        head.push(name.to_owned());
        for (number, (what, value)) in under(flags, &storm, time)?.into_iter().enumerate() {
            match rows.get_mut(number) {
                Some(row) => row.push(value),
                None => rows.push(vec![what.to_owned(), value]),
            }
        }
    }
    Ok(table(&head, rows))
}

/// One column: what it holds, and the values.
fn under(flags: &[&str], storm: &Storm, time: Duration) -> Result<[(&'static str, String); 9]> {
    let daemon = daemon::start(flags)?;
    let before = Counts::of(&daemon.scrape()?)?;
    let cpu_before = daemon::cpu_ns(&daemon)?;
    let over = AtomicBool::new(false);
    let (made, scrapes) = thread::scope(|scope| {
        let scraper = scope.spawn(|| scrape_until(&over, &daemon));
        let made = storm.rage(time);
        over.store(true, Ordering::Relaxed);
        (made, scraper.join())
    });
    let (made, scrapes) = (made?, scrapes.unwrap_or_default());
    // The abrupt close of each aborted connection is a record of its own.
    let records = 2 * made.rsts() + made.aborted;
    let counted = wait_for(&daemon, before.records() + records)?;
    let cpu = daemon::cpu_ns(&daemon)? - cpu_before;
    let (_, peak) = daemon::memory(&daemon)?;
    let (sent, received) = (counted.sent - before.sent, counted.received - before.received);
    let (taken, lost) = (counted.taken - before.taken, counted.lost - before.lost);
    let slowest = scrapes.iter().max().copied().unwrap_or_default();
    let per_second = |value: u64| ratio(value, 1) / made.took.as_secs_f64();
    Ok([
        ("RSTs per second, each sent and received here", format!("{:.0}", per_second(made.rsts()))),
        ("RST segments sent: `OutRsts` of the namespace; the tracer", format!("{}; {sent}", made.out_rsts)),
        ("RST segments received: by the clients; the tracer", format!("{}; {received}", made.rsts())),
        ("records: due; taken + lost", format!("{records}; {taken} + {lost} = {}", taken + lost)),
        ("records lost", format!("{:.2} %", 100.0 * ratio(lost, taken + lost))),
        ("the daemon's CPU time per RST", format!("{:.2} µs", ratio(cpu, made.rsts()) / 1e3)),
        ("the same per record taken", format!("{:.2} µs", ratio(cpu, taken) / 1e3)),
        ("peak RSS, start-up included", format!("{:.1} MiB", ratio(peak, 1024))),
        (
            "scrapes meanwhile; the slowest",
            format!("{}; {:.1} ms", scrapes.len(), slowest.as_secs_f64() * 1e3),
        ),
    ])
}

/// How long each scrape took.
fn scrape_until(over: &AtomicBool, daemon: &DaemonUnderTest) -> Vec<Duration> {
    let mut times = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let asked = Instant::now();
        if daemon.scrape().is_ok() {
            times.push(asked.elapsed());
        }
        let_pass(SCRAPED_EVERY);
    }
    times
}

/// The counts once there are `records` records, or as they are after a while.
fn wait_for(daemon: &DaemonUnderTest, records: u64) -> Result<Counts> {
    let asked = Instant::now();
    loop {
        let counts = Counts::of(&daemon.scrape()?)?;
        if counts.records() >= records || asked.elapsed() > READ_WITHIN {
            return Ok(counts);
        }
        let_pass(Duration::from_millis(20));
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
pub(crate) fn ratio(one: u64, other: u64) -> f64 {
    one as f64 / other as f64
}
