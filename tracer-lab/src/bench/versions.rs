//! What two versions of tracer cost, in turns: figures of another day, or of a busier machine, compare nothing.

use std::path::Path;
use std::thread;

use anyhow::{Result, ensure};

use crate::bench::daemon;
use crate::bench::load::{LOADS, Load};
use crate::bench::probes::{Costs, under};
use crate::bench::report::table;
use crate::bench::spread::Spread;
use crate::bench::tally::ratio;
use crate::bench::testbed::Testbed;
use crate::testbed::process;
use crate::workspace;

/// One measurement, per request.
struct Cost {
    records: f64,
    probes_ns: f64,
    daemon_ns: f64,
    /// Of all CPU time, in percent.
    share: f64,
}

/// Measures each load `rounds` times for `seconds` with the tracer under test and as often with `other`.
pub(crate) fn compare(other: &Path, rounds: usize, seconds: u64) -> Result<String> {
    ensure!(other.is_file(), "{} is no tracer: name the binary to compare with", other.display());
    let binaries = [("this version", workspace::daemon_under_test()), ("the other", other.to_owned())];
    let testbed = Testbed::make()?;
    let mut rows = Vec::new();
    for load in &LOADS {
        let mut costs: [Vec<Cost>; 2] = Default::default();
        for round in 0..rounds {
            process::step(&format!("{}: round {} of {rounds}", load.name, round + 1));
            for turn in 0..binaries.len() {
                // Another one comes first in each round.
                let number = (turn + round) % binaries.len();
                costs[number].push(measure(&binaries[number].1, load, &testbed, seconds)?);
            }
        }
        rows.extend(binaries.iter().zip(&costs).map(|((name, _), costs)| row(load, name, costs)));
    }
    let head = [
        "under",
        "records per request",
        "probes: ns per request",
        "daemon: ns",
        "all: ns",
        "of all CPU time",
    ];
    Ok(format!(
        "{rounds} rounds of {seconds} s for each, in turns: the median, with the least and the most.\n\n{}",
        table(&head.map(str::to_owned), rows)
    ))
}

fn measure(binary: &Path, load: &Load, testbed: &Testbed, seconds: u64) -> Result<Cost> {
    let daemon = daemon::start_binary(binary, &[])?;
    let taken = || daemon.scrape()?.sum("tracer_events_total", &[]);
    let before = taken()?;
    let (costs, rate) = under(&daemon, || load.run(testbed, seconds))?;
    let requests = rate * ratio(seconds, 1);
    let all_ns = ratio(thread::available_parallelism()?.get() as u64 * seconds, 1) * 1e9;
    let Costs { daemon_ns, .. } = costs;
    let probes_ns = costs.probes_ns();
    Ok(Cost {
        records: ratio(taken()? - before, 1) / requests,
        probes_ns: ratio(probes_ns, 1) / requests,
        daemon_ns: ratio(daemon_ns, 1) / requests,
        share: 100.0 * ratio(probes_ns + daemon_ns, 1) / all_ns,
    })
}

fn row(load: &Load, name: &str, costs: &[Cost]) -> Vec<String> {
    let spread = |of: fn(&Cost) -> f64| Spread::of(costs.iter().map(of));
    vec![
        format!("{}: {name}", load.name),
        format!("{:.2}", spread(|cost| cost.records)),
        format!("{:.0}", spread(|cost| cost.probes_ns)),
        format!("{:.0}", spread(|cost| cost.daemon_ns)),
        format!("{:.0}", spread(|cost| cost.probes_ns + cost.daemon_ns)),
        format!("{:.3} %", spread(|cost| cost.share)),
    ]
}
