//! The cause of every line against the kind of connection that made it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;

use crate::soak::figures::Figures;
use crate::soak::kinds::{Ended, KINDS, Kind};
use crate::soak::run::{Completed, End};
use crate::testbed::reset::Reset;

/// Upper bound on the wrong lines that are shown.
const SHOWN: usize = 5;

/// How often each cause was given to each kind, on each side.
pub(crate) struct Verdicts {
    confusion: BTreeMap<(usize, &'static str), BTreeMap<String, usize>>,
    lines: usize,
    /// Resets that the tracer does not report.
    missing: usize,
    /// Whatever else is not as it should be.
    wrong: Vec<String>,
    figures: Figures,
}

/// How many lines the tracer must print about these connections.
pub(crate) fn expected_lines(completed: &[Completed]) -> usize {
    completed
        .iter()
        .map(|completed| ends(completed).iter().filter(|(.., causes)| !causes.is_empty()).count())
        .sum()
}

fn ends(completed: &Completed) -> [(&'static str, &End, &End, &'static [&'static str]); 2] {
    let Completed { kind, server, client } = completed;
    [("S", server, client, kind.server), ("C", client, server, kind.client)]
}

impl Verdicts {
    pub(crate) fn compare(completed: &[Completed], resets: &[Reset]) -> Self {
        type Key = (u64, SocketAddr, SocketAddr);
        let mut reported: HashMap<Key, Vec<&Reset>> = HashMap::new();
        for reset in resets {
            reported.entry((reset.netns, reset.local, reset.remote)).or_default().push(reset);
        }
        let mut verdicts = Self {
            confusion: BTreeMap::new(),
            lines: resets.len(),
            missing: 0,
            wrong: Vec::new(),
            figures: Figures::default(),
        };
        for completed in completed {
            for (side, own, other, causes) in ends(completed) {
                let lines = reported.remove(&(own.netns, own.endpoint, other.endpoint)).unwrap_or_default();
                let number = KINDS.iter().position(|known| known.name == completed.kind.name);
                let counts = verdicts.confusion.entry((number.unwrap_or(KINDS.len()), side)).or_default();
                if let [line] = lines.as_slice() {
                    verdicts.figures.add(completed.kind, side, line);
                }
                let said = said(completed.kind, own, side, &lines);
                *counts.entry(said.to_owned()).or_default() += 1;
                match (causes, lines.as_slice()) {
                    ([], []) => {}
                    (_, []) => verdicts.missing += 1,
                    _ if causes.contains(&said) => {}
                    _ => {
                        let name = completed.kind.name;
                        verdicts
                            .wrong
                            .push(format!("{name} {side}: {said} is none of {causes:?}: {lines:?}"));
                    }
                }
            }
        }
        for reset in reported.into_values().flatten() {
            verdicts.wrong.push(format!("a line about nothing that was completed: {reset:?}"));
        }
        verdicts
    }

    /// How many lines are right.
    pub(crate) fn summary(&self) -> String {
        let Self { lines, missing, wrong, .. } = self;
        let mistaken = self.mistakes().count();
        format!("{lines} lines, {missing} missing, {} unknown, {mistaken} wrong", wrong.len() - mistaken)
    }

    /// What a tracer that lost records may not say either: a cause that is wrong, where it could have said that it does
    /// not know.
    pub(crate) fn mistakes(&self) -> impl Iterator<Item = &String> {
        self.wrong
            .iter()
            .filter(|wrong| !wrong.contains(": unknown is none") && !wrong.contains(": another role is"))
    }

    pub(crate) fn differences(&self) -> Vec<String> {
        let mut shown: Vec<_> = self.wrong.iter().take(SHOWN).cloned().collect();
        if self.missing > 0 {
            shown.push(format!("{} resets are not reported", self.missing));
        }
        if self.wrong.len() > SHOWN {
            shown.push(format!("and {} more wrong lines", self.wrong.len() - SHOWN));
        }
        shown.extend(self.figures.differences());
        shown
    }
}

impl fmt::Display for Verdicts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((number, side), counts) in &self.confusion {
            let name = KINDS.get(*number).map_or("?", |kind| kind.name);
            let counts: Vec<_> = counts.iter().map(|(cause, count)| format!("{cause} {count}")).collect();
            writeln!(out, "{name:<28} {side}  {}", counts.join(", "))?;
        }
        write!(out, "{}", self.figures)?;
        writeln!(out, "{}", self.summary())
    }
}

/// What the tracer said of this end, in a word or two.
fn said<'a>(kind: &Kind, own: &End, side: &str, lines: &[&'a Reset]) -> &'a str {
    let role = if side == "S" { "server" } else { "client" };
    let (ended_by, sent) = match kind.ended {
        // Only a RST from elsewhere leaves an error in the socket.
        Ended::Rst => ("rst", own.errno.is_none()),
        Ended::FinOfServer => ("fin", side == "S"),
        Ended::FinOfClient => ("fin", side == "C"),
    };
    let direction = if sent { "sent" } else { "received" };
    match lines {
        [] => "-",
        [line] if line.direction.as_deref() != Some(direction) => "wrong direction",
        [line] if line.ended_by != ended_by => "another end",
        [line] if line.role != role => "another role",
        [line] => line.cause.as_str(),
        _ => "more than one",
    }
}
