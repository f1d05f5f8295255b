//! Incidents on stdout, one line each. A reader that is slow or gone never holds up the events: lines that find the
//! queue full are dropped and counted.

use std::{
    fmt::Display,
    io::{self, Write},
    time::Instant,
};

use serde::Serialize;

use crate::{
    config::EventFormat,
    writer::{AfterError, WhenFull, Writer, while_there_is_a_reader},
};

/// Lines that may wait for the reader.
const QUEUE: usize = 8192;

/// Prints incidents in one format.
pub struct Stdout {
    format: EventFormat,
    /// None if nothing is to be printed.
    lines: Option<Writer>,
}

impl Stdout {
    /// Starts the writer.
    pub fn start(format: EventFormat, when_full: WhenFull) -> io::Result<Self> {
        let mut retried = while_there_is_a_reader("stdout");
        let failed = move |error: &io::Error| match when_full {
            WhenFull::Drop => retried(error),
            // Whoever waits must not do so for ever.
            WhenFull::Wait => AfterError::End,
        };
        let lines = (format != EventFormat::Off)
            .then(|| Writer::start("stdout", Unbuffered, QUEUE, when_full, failed))
            .transpose()?;
        Ok(Self { format, lines })
    }

    /// Queues a line, in words or as a JSON object; [`Self::flush`] tells the writer.
    pub fn print(&self, what: &(impl Display + Serialize)) {
        let Some(lines) = &self.lines else { return };
        lines.push(|bytes| {
            // To write into memory cannot fail.
            let _ = match self.format {
                EventFormat::Json => serde_json::to_writer(&mut *bytes, what).map_err(io::Error::from),
                EventFormat::Text | EventFormat::Off => write!(bytes, "{what}"),
            };
            bytes.push(b'\n');
        });
    }

    /// Lets the writer have what was queued.
    pub fn flush(&self) {
        self.lines.iter().for_each(Writer::flush);
    }

    /// Lines that were not printed because nobody read them in time.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lines.as_ref().map_or(0, Writer::dropped)
    }

    /// No more lines will come.
    pub fn close(&self) {
        self.lines.iter().for_each(Writer::close);
    }

    /// Waits until all lines are written; on a reader that must not be waited for only until `deadline`.
    pub fn finish(&self, deadline: Instant) {
        self.close();
        if self.lines.as_ref().is_some_and(|lines| !lines.ended_by(deadline)) {
            log::warn!("stdout did not take the last lines in time");
        }
    }
}

/// Standard output without the library's buffer, so that it is known where the writing stopped.
struct Unbuffered;

impl Write for Unbuffered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(nix::unistd::write(io::stdout(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
