//! Resets on stdout, one line each. A reader that is slow or gone never holds up the events: lines that find the queue
//! full are dropped and counted.

use std::{fmt::Write as _, io, time::Duration};

use tracer_core::classify::ResetView;

use crate::{
    config::EventFormat,
    lines::{LineWriter, WhenFull},
};

/// Lines that may wait for the reader.
const QUEUE: usize = 8192;

/// How long the last lines get to be written at the end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// Prints resets in one format.
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

    /// Queues a line; [`Self::flush`] tells the writer.
    pub fn print(&self, reset: &ResetView) {
        let Some(lines) = &self.lines else { return };
        lines.print(|text| match self.format {
            EventFormat::Json => *text += &serde_json::to_string(reset).unwrap_or_default(),
            // To write into memory cannot fail.
            EventFormat::Text | EventFormat::Off => drop(write!(text, "{reset}")),
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
    pub fn finish(self) {
        if self.lines.is_some_and(|lines| !lines.finish(SHUTDOWN_TIMEOUT)) {
            log::warn!("stdout did not take the last lines within {} s", SHUTDOWN_TIMEOUT.as_secs());
        }
    }
}
