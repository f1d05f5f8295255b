//! What each query of the dashboard and each alert must answer, from what the wire showed.

use std::fs;
use std::ops::RangeInclusive;

use anyhow::{Context as _, Result, ensure};
use tracer_lab::traffic::upstream::Tally;

use crate::server::{Answer, target};

/// Seconds by which the tracer's jiffies and a packet capture may differ.
const CLOCKS: f64 = 0.02;
/// `increase()` and `rate()` guess what happened before the first sample and after the last.
const GUESS: f64 = 1.2;
/// What the tests fill in for `$__rate_interval`, in seconds.
pub(crate) const RATE_INTERVAL: f64 = 120.0;
/// Buckets of a histogram of idle times, with the infinite one.
const BUCKETS: usize = 27;

/// Where the lab was run, and what its packets say.
pub(crate) struct Scene {
    /// The upstream's endpoint, which is its label.
    pub(crate) server: String,
    /// The tracer's port.
    pub(crate) tracer: u16,
    pub(crate) wire: Tally,
}

/// What a query must answer.
pub(crate) enum Expected {
    /// These samples and no other, by their labels, with values in these ranges.
    Samples(Vec<(String, RangeInclusive<f64>)>),
    /// Some samples, all with values in this range.
    Each(RangeInclusive<f64>),
    /// Some samples, whose values come to this.
    Sum(RangeInclusive<f64>),
    /// The cumulative buckets of these seconds, each counted so many times.
    Buckets(Vec<f64>, RangeInclusive<f64>),
}

use Expected::{Buckets, Each, Samples, Sum};

impl Expected {
    pub(crate) fn check(&self, answer: &Answer) -> Result<()> {
        match self {
            Samples(samples) => {
                ensure!(answer.len() == samples.len(), "not {} samples: {answer:?}", samples.len());
                for (labels, range) in samples {
                    let value = answer.get(labels).with_context(|| format!("no {labels:?}: {answer:?}"))?;
                    ensure!(range.contains(value), "{labels:?} is {value}, not in {range:?}");
                }
            }
            Each(range) => {
                ensure!(!answer.is_empty(), "no sample");
                ensure!(answer.values().all(|value| range.contains(value)), "{answer:?}, not in {range:?}");
            }
            Sum(range) => {
                let sum: f64 = answer.values().sum();
                ensure!(range.contains(&sum), "{answer:?} come to {sum}, not in {range:?}");
            }
            Buckets(seconds, times) => {
                ensure!(answer.len() == BUCKETS, "not {BUCKETS} buckets: {answer:?}");
                for (bound, &value) in answer {
                    let bound: f64 = bound.parse()?;
                    let upto = |bound| count(seconds.iter().filter(|&&idle| idle <= bound));
                    let least = upto(bound - CLOCKS) * times.start();
                    let most = upto(bound + CLOCKS) * times.end();
                    ensure!((least..=most).contains(&value), "{value} up to {bound} s: {answer:?}");
                }
            }
        }
        Ok(())
    }
}

impl Scene {
    /// What a query of the dashboard must answer; nothing if nobody has said.
    pub(crate) fn answer(&self, place: &str) -> Option<Expected> {
        let Tally { races, refused, closed_by_server, closed_by_client, .. } = &self.wire;
        let (lost, refused, closes) = (count(races), count(0..*refused), count(closed_by_server));
        let left = count(closed_by_client);
        let resets = lost + refused;
        Some(match place {
            "Keep-alive races/A" => one("", lost),
            "Failures/A" => one("", resets),
            "Races among failures/A" | "Share of races/A" => one("", lost / resets),
            "Races per idle close/A" | "Share of races/B" => one("", lost / (lost + closes)),
            "Servers with advice/A" => one("", 1.0),
            "Servers/timeout" => self.seen_by_both("", about(self.timeout())),
            "Servers/samples" => self.seen_by_both("", 8.0..=closes),
            "Servers/closes" => self.seen_by_both("", closes..=closes),
            "Servers/left" => self.seen_by_both("", left..=left),
            "Servers/resets" | "Resets by server/A" => self.seen_by_both("", resets..=resets),
            "Servers/races" | "Keep-alive races by server/A" => self.seen_by_both("", lost..=lost),
            "Servers/suggested" => self.seen_by_both("", about(self.timeout() / 2.0)),
            "Resets by cause/A" => samples(&[
                ("keepalive_race received", lost..=lost),
                ("keepalive_race sent", lost..=lost),
                ("refused received", refused..=refused),
                ("refused sent", refused..=refused),
            ]),
            // Here each ended by a RST.
            "Failures by cause and end/A" => samples(&[
                ("keepalive_race rst", 2.0 * lost..=2.0 * lost),
                ("refused rst", 2.0 * refused..=2.0 * refused),
            ]),
            "Was the request read/A" => Sum(2.0 * resets..=2.0 * resets),
            // Both hosts count.
            "Idle time before races/A" => Buckets(races.clone(), 2.0..=2.0),
            // In the buckets around it.
            "Idle time before races, and the inferred timeout/A" => samples(&[(&self.server, 0.5..=1.95)]),
            "Idle time before races, and the inferred timeout/B" => {
                samples(&[(&self.server, about(self.timeout()))])
            }
            "Idle closes by side/A" => samples(&[
                ("client client", left..=left),
                ("client server", left..=left),
                ("server client", closes..=closes),
                ("server server", closes..=closes),
            ]),
            // But for the first.
            "Idle time at closes by the server/A" => Buckets(closed_by_server.clone(), 1.8..=2.0 * GUESS),
            "From request to reset/A" | "From request to reset/B" => {
                samples(&[("keepalive_race", 0.0..=0.05)])
            }
            "Requests by server/A" => {
                let rate = count(0..self.wire.answered) / RATE_INTERVAL;
                self.seen_by_both("", rate / GUESS..=rate * GUESS)
            }
            // One right behind the other; both hosts count, but for the first.
            "Idle time at reuse/A" => Buckets(vec![0.0; self.wire.reuses], 1.8..=2.0 * GUESS),
            // What the server had not read when it closed is gone with its queue.
            "Resets by method/A" => {
                let after_fin = count(0..self.wire.after_fin);
                samples(&[("received POST", lost..=lost), ("sent POST", after_fin..=after_fin)])
            }
            "Advice/A" => self.advice("warning"),
            "annotation Advice" => one(&format!("server_closes_first {} warning", self.server), 1.0),
            "variable job" => one("tracer", 1.0),
            "variable instance" => one(&target(self.tracer), 1.0),
            "variable server" => one(&self.server, 1.0),
            _ => return self.health(place),
        })
    }

    /// The same for the tracer itself, which sees the whole host: others may add to what the lab did.
    fn health(&self, place: &str) -> Option<Expected> {
        let instance = target(self.tracer);
        let at_least = |events: f64| events / RATE_INTERVAL / GUESS..=f64::MAX;
        let segments = count(0..self.wire.rst_segments);
        let closes = count(&self.wire.closed_by_server);
        Some(match place {
            "Probes/A" | "Coverage/A" => Each(1.0..=1.0),
            "Versions/A" => {
                let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
                let labels = format!("{instance} {} {}", kernel.trim(), env!("CARGO_PKG_VERSION"));
                samples(&[(&labels, 1.0..=300.0)])
            }
            "Losses and overflow/A" => samples(&[("events", 0.0..=0.0), ("stdout", 0.0..=0.0)]),
            "Losses and overflow/B" | "Losses and overflow/D" => one("server", 0.0),
            // On some kernels an interrupt in the middle of a probe comes now and then.
            "Losses and overflow/C" => Each(0.0..=1000.0),
            "Events/A" => samples(&[
                ("close", 0.0..=f64::MAX),
                ("fin", at_least(2.0 * closes)),
                ("malformed", 0.0..=0.0),
                ("receive_reset", at_least(segments)),
                ("send_reset", at_least(segments)),
            ]),
            "RST segments/A" | "RST segments/B" => samples(&[("", at_least(segments))]),
            "CPU/A" => samples(&[(&format!("{instance} tracer"), 0.0..=1.0)]),
            "Memory/A" => samples(&[(&format!("{instance} tracer"), 1e6..=1e8)]),
            "Probe time/A" => Each(1e-9..=1.0),
            "Time of one probe run/A" => Each(1e-8..=1e-3),
            "Connections remembered/A" => samples(&[(&format!("{instance} tracer"), closes..=f64::MAX)]),
            "Resets without a connection/A" => {
                let refused = count(0..self.wire.refused);
                samples(&[
                    ("evicted", 0.0..=0.0),
                    ("no_socket", refused..=refused * GUESS),
                    ("not_seen", 0.0..=0.0),
                ])
            }
            _ => return None,
        })
    }

    /// What the expression of an alert must answer when all is run.
    pub(crate) fn alert(&self, name: &str) -> Option<Expected> {
        let races = count(&self.wire.races);
        Some(match name {
            "TracerKeepaliveRace" => {
                self.seen_by_both(&format!("{} tracer ", target(self.tracer)), races..=races)
            }
            // At the client alone: on a server's host anybody can send SYNs to closed ports.
            "TracerRequestsFail" => {
                let labels = format!("refused {} tracer client {}", target(self.tracer), self.server);
                let refused = count(0..self.wire.refused);
                samples(&[(&labels, refused..=refused)])
            }
            // By now the advice is a warning, and there was but one period of ten minutes. The tracer is well.
            "TracerKeepaliveMismatch"
            | "TracerKeepaliveRacesPersist"
            | "TracerEventsLost"
            | "TracerProbeMissing"
            | "TracerLabelOverflow"
            | "TracerDown" => Samples(Vec::new()),
            _ => return None,
        })
    }

    /// The advice that both hosts see.
    pub(crate) fn advice(&self, severity: &str) -> Expected {
        let labels = |role| (format!("server_closes_first {role} {} {severity}", self.server), 1.0..=1.0);
        Samples(["client", "server"].map(labels).into())
    }

    /// Reported by the client's host alone.
    pub(crate) fn mismatch(&self) -> Expected {
        Samples(vec![(format!("{} tracer client {}", target(self.tracer), self.server), 1.0..=1.0)])
    }

    /// The same from the client's host and the server's, whose roles are between these labels and the server's.
    pub(crate) fn seen_by_both(&self, before: &str, range: RangeInclusive<f64>) -> Expected {
        let labels = |role| (format!("{before}{role} {}", self.server), range.clone());
        Samples(["client", "server"].map(labels).into())
    }

    /// The upstream's timeout: the lower quartile of its closes, for a busy machine makes them late, not early.
    fn timeout(&self) -> f64 {
        let mut closes = self.wire.closed_by_server.clone();
        closes.sort_by(f64::total_cmp);
        closes.get(closes.len() / 4).copied().unwrap_or(f64::NAN)
    }
}

fn one(labels: &str, value: f64) -> Expected {
    samples(&[(labels, value - 1e-9..=value + 1e-9)])
}

fn samples(expected: &[(&str, RangeInclusive<f64>)]) -> Expected {
    Samples(expected.iter().map(|(labels, range)| ((*labels).to_owned(), range.clone())).collect())
}

fn about(seconds: f64) -> RangeInclusive<f64> {
    seconds - CLOCKS..=seconds + CLOCKS
}

#[expect(clippy::cast_precision_loss, reason = "a handful of connections")]
fn count<T>(things: impl IntoIterator<Item = T>) -> f64 {
    things.into_iter().count() as f64
}
