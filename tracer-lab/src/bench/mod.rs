//! `cargo xtask bench`: what tracer costs, measured on this machine and kept in `docs/BENCHMARKS.md`.
//!
//! All traffic stays in network namespaces of the bench's own.

mod compare;
mod contenders;
mod daemon;
mod figures;
mod load;
mod pipeline;
mod probes;
mod report;
mod spread;
mod storm;
mod tally;
mod testbed;
mod versions;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::ValueEnum;

use crate::bench::probes::Statistics;
use crate::privilege;
use crate::testbed::{host, process};

/// Measures what tracer costs, and writes the tables of docs/BENCHMARKS.md.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Measure only these
    #[arg(long, value_delimiter = ',', value_name = "SECTION,…")]
    only: Vec<Section>,
    /// Rounds of each comparison under load
    #[arg(long, default_value_t = 7, value_name = "N")]
    rounds: usize,
    /// Seconds of each measurement under load
    #[arg(long, default_value_t = 1, value_name = "S")]
    seconds: u64,
    /// Compare so many times, each a table of its own
    #[arg(long, default_value_t = 1, value_name = "N")]
    runs: usize,
    /// See in a minute that everything works: short, and written nowhere
    #[arg(long)]
    quick: bool,
    /// Only count the instructions per event of the user-side pipeline, to compare commits
    #[arg(long, conflicts_with_all = ["only", "quick"])]
    instructions: bool,
    /// Only compare what connections cost with what they cost under this other tracer, in turns
    #[arg(long, conflicts_with_all = ["only", "runs", "instructions"], value_name = "FILE")]
    against: Option<PathBuf>,
}

/// A table of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Section {
    /// Requests per second under load with tracer or something else attached
    Load,
    /// What the probes cost by the kernel's own statistics
    Probes,
    /// A storm of RSTs, and what was counted of it
    Storm,
    /// Start-up, memory, idle CPU, scrapes
    Figures,
    /// The user-side pipeline, event by event
    Pipeline,
}

impl Args {
    fn sections(&self) -> &[Section] {
        if self.only.is_empty() { Section::value_variants() } else { &self.only }
    }

    /// How many rounds, and seconds of each measurement.
    fn rounds(&self) -> (usize, u64) {
        if self.quick { (1, 1) } else { (self.rounds, self.seconds) }
    }

    /// Prints a table, and writes it into its place.
    fn show(&self, section: &str, table: &str) -> Result<()> {
        let text = format!("{}{table}", report::provenance()?);
        println!("{text}");
        if self.quick { Ok(()) } else { report::write(section, &text) }
    }
}

/// Measures, prints, and writes down.
pub fn run(arguments: &Args) -> Result<()> {
    if arguments.instructions {
        print!("{}", pipeline::instructions()?);
        return Ok(());
    }
    ensure!(privilege::is_root(), "the bench makes network namespaces and traces: run it as root");
    host::sweep()?;
    // They cost something by themselves, on every run of every probe.
    let _statistics = Statistics::switch("0")?;
    if let Some(other) = &arguments.against {
        let (rounds, seconds) = arguments.rounds();
        return arguments.show("versions", &versions::compare(other, rounds, seconds)?);
    }
    for section in arguments.sections() {
        process::step(&format!("measuring: {}", section.name()));
        arguments.show(section.name(), &section.measure(arguments)?)?;
    }
    Ok(())
}

impl Section {
    fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Probes => "probes",
            Self::Storm => "storm",
            Self::Figures => "figures",
            Self::Pipeline => "pipeline",
        }
    }

    fn measure(self, arguments: &Args) -> Result<String> {
        let (rounds, seconds) = arguments.rounds();
        match self {
            Self::Load => {
                (0..arguments.runs).map(|_| Ok(compare::compare(rounds, seconds)? + "\n")).collect()
            }
            Self::Probes => probes::measure(2 * seconds),
            Self::Storm => tally::tally(Duration::from_secs(3 * seconds)),
            Self::Figures => figures::measure(),
            Self::Pipeline => pipeline::measure(),
        }
    }
}
