//! What came of each pair, as a table.

use std::fmt;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::servers::failures::batch::Pair;
use crate::servers::failures::front::Walked;
use crate::servers::failures::kind::Kind;
use crate::servers::failures::remedy::Remedy;
use crate::servers::failures::verdict::{RACE, Verdict};
use crate::servers::failures::walk::Plan;

/// Of what is wrong, so much is printed for each pair.
const SHOWN: usize = 3;

/// What came of one pair.
pub(crate) struct Row {
    kind: &'static str,
    pair: String,
    /// How long walkers rested, in seconds.
    rests: [f64; 2],
    requests: usize,
    lines: usize,
    verdict: Verdict,
    advice: Vec<String>,
    bad_advice: Vec<String>,
    /// What its clients are told to change.
    pub(crate) remedy: Option<Remedy>,
    /// Requests that were lost once the advice was followed.
    still: Option<usize>,
}

/// What came of all.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
    /// What could not be tried.
    broken: Vec<String>,
}

impl Row {
    pub(crate) fn new(pair: &Pair, walked: &Walked, verdict: Verdict, advice: &Value, plan: &Plan) -> Self {
        let about = |one: &&Value| one["server"] == *plan.server.to_string();
        let given: Vec<_> = advice.as_array().into_iter().flatten().filter(about).collect();
        let is_bad = |one: &&&Value| one["severity"] == "warning" && !has_setting(pair.kind);
        let short = |one: &&Value| format!("{} {}", text(&one["role"]), text(&one["kind"]));
        Self {
            kind: pair.kind.name,
            pair: format!("{} - {}", pair.front, pair.server.name()),
            rests: [plan.from / 1e3, plan.to / 1e3],
            requests: walked.requests,
            lines: walked.lines,
            verdict,
            advice: given.iter().map(short).collect(),
            bad_advice: given.iter().filter(is_bad).map(ToString::to_string).collect(),
            remedy: Remedy::find(advice, plan.server),
            still: None,
        }
    }

    /// With what came of the same pair once the advice was followed.
    pub(crate) fn add_remedied(&mut self, remedied: Self) {
        self.still = Some(remedied.verdict.failed);
        self.verdict.wrong.extend(remedied.verdict.wrong);
        self.verdict.missing.extend(remedied.verdict.missing);
        self.verdict.extra.extend(remedied.verdict.extra);
    }

    fn faults(&self) -> [(&'static str, &[String]); 4] {
        let Verdict { wrong, missing, extra, .. } = &self.verdict;
        [("WRONG", wrong), ("MISSING", missing), ("EXTRA", extra), ("ADVICE", &self.bad_advice)]
    }
}

/// Whether a setting would have helped.
fn has_setting(kind: &Kind) -> bool {
    kind.right.contains(&RACE)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

impl Table {
    /// Takes what came of some pairs: what breaks with one of them says nothing of the others.
    pub(crate) fn add(&mut self, rows: Result<Vec<Row>>) {
        match rows {
            Ok(rows) => self.rows.extend(rows),
            Err(error) => self.broken.push(format!("{error:#}")),
        }
    }

    /// Everything that was lost was told, once and rightly, and nothing else.
    pub fn is_ok(&self) -> Result<()> {
        let faults = |name| {
            let of_row =
                |row: &Row| row.faults().iter().find(|(known, _)| *known == name).map_or(0, |f| f.1.len());
            self.rows.iter().map(of_row).sum::<usize>()
        };
        let [wrong, missing, extra, advice] = ["WRONG", "MISSING", "EXTRA", "ADVICE"].map(faults);
        ensure!(
            [wrong, missing, extra, advice] == [0; 4],
            "{wrong} failures are told wrongly, {missing} are missing, {extra} are no failures, {advice} advice is wrong"
        );
        let still = self.sum(|row| row.still.unwrap_or(0));
        ensure!(still == 0, "{still} requests failed although the advice was followed");
        ensure!(self.broken.is_empty(), "not all could be tried: {}", self.broken.join("; "));
        ensure!(self.sum(|row| row.verdict.failed) > 0, "nothing failed: nothing is shown");
        Ok(())
    }

    fn sum(&self, count: impl Fn(&Row) -> usize) -> usize {
        self.rows.iter().map(count).sum()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "{:<26} {:<30} {:>13} {:>8} {:>6} {:>6} {:>6} {:>5} {:>7} {:>5} {:>7}  causes and advice",
            "what fails",
            "who asks whom",
            "rests",
            "requests",
            "errors",
            "failed",
            "joined",
            "wrong",
            "missing",
            "extra",
            "advised"
        )?;
        for row in &self.rows {
            let Verdict { failed, joined, wrong, missing, extra, causes } = &row.verdict;
            write!(
                out,
                "{:<26} {:<30} {:>13} {:>8} {:>6} {failed:>6} {joined:>6} {:>5} {:>7} {:>5} {:>7}",
                row.kind,
                row.pair,
                format!("{:.3}..{:.3}", row.rests[0], row.rests[1]),
                row.requests,
                row.lines,
                wrong.len(),
                missing.len(),
                extra.len(),
                row.still.map_or_else(|| "-".to_owned(), |still| still.to_string())
            )?;
            let causes = causes.iter().map(|(cause, count)| format!("{cause}: {count}"));
            let told: Vec<_> = causes.chain(row.advice.iter().cloned()).collect();
            writeln!(out, "  {}", told.join("; "))?;
        }
        let sums = [
            self.sum(|row| row.requests),
            self.sum(|row| row.lines),
            self.sum(|row| row.verdict.failed),
            self.sum(|row| row.verdict.joined),
        ];
        writeln!(
            out,
            "{} requests, {} errors in logs, {} failed, {} joined",
            sums[0], sums[1], sums[2], sums[3]
        )?;
        for row in &self.rows {
            for (name, faults) in row.faults() {
                for fault in faults.iter().take(SHOWN) {
                    writeln!(out, "{name} {}, {}: {}", row.kind, row.pair, fault.trim())?;
                }
            }
        }
        Ok(())
    }
}
