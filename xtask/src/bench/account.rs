//! The storm's accounting: what the kernel sent against what the daemon counted, and what that cost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::daemon::Daemon;
use super::report::table;
use super::storm::Storm;
use crate::lab::scrape::Scrape;
use crate::lab::wait::let_pass;

/// Between two scrapes during the storm.
const SCRAPED_EVERY: Duration = Duration::from_millis(100);
/// By then the daemon has read all that is in the ring.
const READ_WITHIN: Duration = Duration::from_secs(3);

/// What the daemon has counted.
struct Counts {
    sent: u64,
    received: u64,
    taken: u64,
    lost: u64,
}

impl Counts {
    fn of(scrape: &Scrape) -> Result<Self> {
        Ok(Self {
            sent: scrape.value("tracer_rst_segments_sent_total")?,
            received: scrape.value("tracer_rst_segments_received_total")?,
            taken: scrape.sum("tracer_events_total", &[])?,
            lost: scrape.value("tracer_events_lost_total{buffer=\"events\"}")?,
        })
    }

    fn records(&self) -> u64 {
        self.taken + self.lost
    }
}

/// Storms for so long under a daemon with default flags, scraped all the while, and shows the accounts.
pub(super) fn account(time: Duration) -> Result<String> {
    let storm = Storm::prepare()?;
    let daemon = Daemon::start(&[])?;
    let before = Counts::of(&daemon.scrape()?)?;
    let cpu_before = daemon.cpu_ns()?;
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
    let cpu = daemon.cpu_ns()? - cpu_before;
    let (_, peak) = daemon.memory()?;
    let (sent, received) = (counted.sent - before.sent, counted.received - before.received);
    let (taken, lost) = (counted.taken - before.taken, counted.lost - before.lost);
    let slowest = scrapes.iter().max().copied().unwrap_or_default();
    let rows = [
        (
            "RST segments sent: the namespace's `OutRsts`, the tracer's counter",
            format!("{}, {sent}", made.out_rsts),
        ),
        (
            "RST segments received: connections refused and aborted, the tracer's counter",
            format!("{}, {received}", made.rsts()),
        ),
        ("records due, taken and counted as lost", format!("{records}, {taken} + {lost} = {}", taken + lost)),
        ("lost", format!("{:.2} %", 100.0 * ratio(lost, records))),
        (
            "RSTs per second, each sent and received here",
            format!("{:.0}", ratio(made.rsts(), 1) / made.took.as_secs_f64()),
        ),
        ("the daemon's CPU per RST", format!("{:.2} µs", ratio(cpu, made.rsts()) / 1e3)),
        ("the same per record taken", format!("{:.2} µs", ratio(cpu, taken) / 1e3)),
        (
            "the daemon's CPU",
            format!("{:.0} % of one core", 100.0 * ratio(cpu, 1) / 1e9 / made.took.as_secs_f64()),
        ),
        ("peak RSS", format!("{:.1} MiB", ratio(peak, 1024))),
        (
            "scrapes meanwhile, and the slowest",
            format!("{}, {:.1} ms", scrapes.len(), slowest.as_secs_f64() * 1e3),
        ),
    ];
    let head = ["storm of SYNs to a closed port and abortive closes", ""].map(str::to_owned);
    Ok(table(&head, rows.map(|(what, value)| vec![what.to_owned(), value])))
}

/// How long each scrape took.
fn scrape_until(over: &AtomicBool, daemon: &Daemon) -> Vec<Duration> {
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

/// The counts once there are so many records, or as they are after a while.
fn wait_for(daemon: &Daemon, records: u64) -> Result<Counts> {
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
pub(super) fn ratio(one: u64, other: u64) -> f64 {
    one as f64 / other as f64
}
