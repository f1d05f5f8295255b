//! The judgement over one case, as rows of the table.

use std::{fmt, io};

use anyhow::{Error, Result};
use nix::errno::Errno;

use crate::oracle::evidence::Side;
use crate::testbed::reset::Reset;

/// What came of a case.
pub struct Outcome {
    pub(crate) name: String,
    /// An error if it could not be run to the end.
    pub(crate) rows: Result<Vec<Row>>,
    /// What it was judged by.
    pub(crate) watched: Watched,
    /// Why it was run before, but not as it is meant.
    pub(crate) too_slow: Vec<String>,
}

/// What a case was judged by: what its hosts did until all was seen, and not what became of its sockets then.
#[derive(Default)]
pub(crate) struct Watched {
    /// The numbers that its namespaces had.
    pub(crate) netns: Vec<u64>,
    /// When it began, on the clock of records.
    pub(crate) since_ns: u64,
    /// When it was over.
    pub(crate) until_ns: u64,
    /// What the tracer said.
    pub(crate) lines: Vec<Reset>,
}

/// What came of it on one host.
pub(crate) struct Row {
    pub(crate) side: Side,
    pub(crate) wire: String,
    pub(crate) tracer: String,
    pub(crate) difference: Option<String>,
    /// The kernel hides some of it.
    pub(crate) unseen: bool,
}

impl Outcome {
    /// Everything is as the scenario expects.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        match &self.rows {
            Ok(rows) => rows.iter().all(|row| row.difference.is_none()),
            Err(error) => is_unsupported(error),
        }
    }

    /// The kernel was built without what the scenario is about: nothing was run.
    pub(crate) fn is_unsupported(&self) -> bool {
        self.rows.as_ref().is_err_and(is_unsupported)
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
            Err(error) if is_unsupported(error) => {
                return writeln!(
                    out,
                    "{}",
                    line(&self.name, "", "this kernel has no such protocol", "", "unseen")
                );
            }
            Err(error) => return writeln!(out, "{}\n    {error:#}", line(&self.name, "", "", "", "FAIL")),
        };
        for row in rows {
            let verdict = match &row.difference {
                Some(_) => "FAIL",
                None if row.unseen => "unseen",
                None => "ok",
            };
            writeln!(out, "{}", line(&self.name, row.side.letter(), &row.wire, &row.tracer, verdict))?;
            if let Some(difference) = &row.difference {
                writeln!(out, "    {difference}")?;
            }
        }
        for why in &self.too_slow {
            writeln!(out, "    run again: {why}")?;
        }
        Ok(())
    }
}

/// The kernel was built without what the scenario is about.
fn is_unsupported(error: &Error) -> bool {
    let mut errors = error.chain().filter_map(|error| error.downcast_ref::<io::Error>());
    errors.any(|error| error.raw_os_error() == Some(Errno::EPROTONOSUPPORT as i32))
}

fn line(scenario: &str, host: &str, wire: &str, tracer: &str, verdict: &str) -> String {
    format!("{scenario:<32} {host:<4} {wire:<42} {tracer:<66} {verdict}")
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
