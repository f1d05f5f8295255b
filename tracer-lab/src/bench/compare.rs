//! Requests per second with this or that attached, compared with nothing attached, in turns.

use anyhow::Result;

use crate::bench::contenders::{CONTENDERS, Contender};
use crate::bench::load::LOADS;
use crate::bench::report::table;
use crate::bench::spread::Spread;
use crate::bench::testbed::Testbed;
use crate::testbed::process;

/// Requests per second with a contender attached, and with nothing attached just before.
#[derive(Clone, Copy, Debug)]
struct Pair {
    with: f64,
    without: f64,
}

/// Of each contender, under each load, in each round.
type Pairs = Vec<[Vec<Pair>; LOADS.len()]>;

/// Measures each load in `rounds` rounds of `seconds` each, and shows the table.
pub(crate) fn compare(rounds: usize, seconds: u64) -> Result<String> {
    let contenders: Vec<_> = CONTENDERS.iter().filter(|contender| (contender.exists)()).collect();
    let testbed = Testbed::make()?;
    let run = || -> Result<Vec<f64>> { LOADS.iter().map(|load| load.run(&testbed, seconds)).collect() };
    // The first is slower than the others.
    run()?;
    let mut pairs: Pairs = vec![Default::default(); contenders.len()];
    for round in 0..rounds {
        process::step(&format!("round {} of {rounds}", round + 1));
        for turn in 0..contenders.len() {
            // Another one comes first in each round.
            let number = (turn + round) % contenders.len();
            let without = run()?;
            let attached = (contenders[number].attach)(&testbed)?;
            let with = run()?;
            drop(attached);
            for ((pairs, with), without) in pairs[number].iter_mut().zip(with).zip(without) {
                pairs.push(Pair { with, without });
            }
        }
    }
    Ok(show(&contenders, &pairs, rounds, seconds))
}

fn show(contenders: &[&Contender], pairs: &Pairs, rounds: usize, seconds: u64) -> String {
    let mut head = vec!["attached".to_owned()];
    for load in &LOADS {
        head.extend([format!("{}: requests/s", load.name), "ratio".to_owned()]);
    }
    let rows = contenders.iter().zip(pairs).map(|(contender, loads)| {
        let mut row = vec![contender.name.to_owned()];
        for pairs in loads {
            let rates = Spread::of(pairs.iter().map(|pair| pair.with));
            let ratios = Spread::of(pairs.iter().map(|pair| pair.with / pair.without));
            row.extend([format!("{rates:.0}"), format!("{ratios:.3}")]);
        }
        row
    });
    format!(
        "{rounds} rounds of {seconds} s for each cell: the median, with the least and the most. Ratios are to nothing \
         attached just before.\n\n{}",
        table(&head, rows)
    )
}
