//! The judgement over one case, as rows of the table.

use std::fmt;

use anyhow::Result;

use super::wire::Side;

/// What came of a case.
pub struct Outcome {
    pub(super) name: String,
    /// An error if it could not be played to the end.
    pub(super) rows: Result<Vec<Row>>,
}

/// What came of it on one host.
pub(super) struct Row {
    pub(super) side: Side,
    pub(super) wire: String,
    pub(super) tracer: String,
    pub(super) difference: Option<String>,
}

impl Outcome {
    /// Everything is as the scenario expects.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.rows.as_ref().is_ok_and(|rows| rows.iter().all(|row| row.difference.is_none()))
    }

    /// The line above all outcomes.
    #[must_use]
    pub fn header() -> String {
        line("scenario", "host", "wire", "tracer", "verdict")
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = match &self.rows {
            Ok(rows) => rows,
            Err(error) => return writeln!(out, "{}\n    {error:#}", line(&self.name, "", "", "", "FAIL")),
        };
        for row in rows {
            let verdict = if row.difference.is_some() { "FAIL" } else { "ok" };
            writeln!(out, "{}", line(&self.name, row.side.letter(), &row.wire, &row.tracer, verdict))?;
            if let Some(difference) = &row.difference {
                writeln!(out, "    {difference}")?;
            }
        }
        Ok(())
    }
}

fn line(scenario: &str, host: &str, wire: &str, tracer: &str, verdict: &str) -> String {
    format!("{scenario:<18} {host:<4} {wire:<42} {tracer:<66} {verdict}")
}

impl Side {
    fn letter(self) -> &'static str {
        match self {
            Self::Server => "S",
            Self::Standby => "S2",
            Self::Client => "C",
        }
    }
}
