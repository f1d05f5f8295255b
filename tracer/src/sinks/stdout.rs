//! Incidents on stdout, one line each. A reader that is slow or gone never holds up the events: lines that find the
//! queue full are dropped and counted.

use std::{
    fmt::{Display, Write as _},
    io,
    time::Duration,
};

use serde::Serialize;

use crate::{
    config::EventFormat,
    lines::{LineWriter, WhenFull},
};

/// Lines that may wait for the reader.
const QUEUE: usize = 8192;

/// How long the last lines get to be written at the end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// Prints incidents in one format.
pub struct Stdout {
    format: EventFormat,
    /// None if nothing is to be printed.
    lines: Option<LineWriter>,
}

impl Stdout {
    /// Starts the writer.
    pub fn start(format: EventFormat, when_full: WhenFull) -> io::Result<Self> {
        let lines = (format != EventFormat::Off)
            .then(|| LineWriter::start("stdout", io::stdout(), QUEUE, when_full))
            .transpose()?;
        Ok(Self { format, lines })
    }

    /// Queues a line, in words or as a JSON object; [`Self::flush`] tells the writer.
    pub fn print(&self, what: &(impl Display + Serialize)) {
        let Some(lines) = &self.lines else { return };
        lines.print(|text| match self.format {
            EventFormat::Json => *text += &serde_json::to_string(what).unwrap_or_default(),
            // To write into memory cannot fail.
            EventFormat::Text | EventFormat::Off => drop(write!(text, "{what}")),
        });
    }

    /// Lets the writer have what was queued.
    pub fn flush(&self) {
        self.lines.iter().for_each(LineWriter::flush);
    }

    /// Lines that were not printed because nobody read them in time.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lines.as_ref().map_or(0, LineWriter::dropped)
    }

    /// Waits until all lines are written, but not for ever on a reader that must not be waited for.
    pub fn finish(&self) {
        if self.lines.as_ref().is_some_and(|lines| !lines.finish(SHUTDOWN_TIMEOUT)) {
            log::warn!("stdout did not take the last lines within {} s", SHUTDOWN_TIMEOUT.as_secs());
        }
    }
}
