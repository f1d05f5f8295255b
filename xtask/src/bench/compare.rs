//! Requests per second with this or that attached, compared with nothing attached, in turns.

use std::fmt::Write as _;

use anyhow::Result;

use super::contenders::{CONTENDERS, Contender};
use super::load::LOADS;
use super::report::table;
use super::spread::Spread;
use super::stage::Stage;
use crate::process;

/// Requests per second: of each contender, under each load, in each round.
type Rates = Vec<[Vec<f64>; LOADS.len()]>;

/// Measures in so many rounds, each load for so many seconds, and shows the table.
pub(super) fn compare(rounds: usize, seconds: u64) -> Result<String> {
    let contenders: Vec<_> = CONTENDERS.iter().filter(|contender| (contender.exists)()).collect();
    let stage = Stage::set()?;
    for load in &LOADS {
        load.run(&stage, 1)?;
    }
    let mut rates: Rates = vec![Default::default(); contenders.len()];
    for round in 0..rounds {
        process::step(&format!("round {} of {rounds}", round + 1));
        for turn in 0..contenders.len() {
            // Another one comes first in each round.
            let number = (turn + round) % contenders.len();
            let attached = (contenders[number].attach)(&stage)?;
            for (load, rates) in LOADS.iter().zip(&mut rates[number]) {
                rates.push(load.run(&stage, seconds)?);
            }
            drop(attached);
        }
    }
    Ok(show(&contenders, &rates, rounds, seconds))
}

fn show(contenders: &[&Contender], rates: &Rates, rounds: usize, seconds: u64) -> String {
    let mut text = format!(
        "{rounds} rounds of {seconds} s for each cell: the median, with the least and the most. A ratio is to \
         `nothing` in the same round.\n\n"
    );
    let mut head = vec!["attached".to_owned()];
    for load in &LOADS {
        head.extend([format!("{}: requests/s", load.name), "ratio".to_owned()]);
    }
    let rows = contenders.iter().zip(rates).map(|(contender, own)| {
        let mut row = vec![contender.name.to_owned()];
        for (own, baseline) in own.iter().zip(&rates[0]) {
            let ratios = own.iter().zip(baseline).map(|(own, baseline)| own / baseline);
            row.extend([
                format!("{:.0}", Spread::of(own.iter().copied())),
                format!("{:.3}", Spread::of(ratios)),
            ]);
        }
        row
    });
    let _ = write!(text, "{}", table(&head, rows));
    text
}
