//! Resets on stdout, one line each. A reader that is slow or gone never holds up the events: lines that find
//! the queue full are dropped and counted.

use std::{
    io::{self, BufWriter, Write},
    sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    thread,
    time::Duration,
};

use prometheus::IntCounter;

use crate::{config::EventFormat, reset::ResetView};

/// Lines that may wait for the reader.
const QUEUE: usize = 8192;

/// How long the last lines get to be written at the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// What to do with a line that finds the queue full.
pub enum WhenFull {
    /// Drop it and count it: the events come first.
    Drop(IntCounter),
    /// Wait for the reader.
    Wait,
}

/// Prints resets in one format.
pub struct Output {
    format: EventFormat,
    lines: Option<SyncSender<String>>,
    done: Receiver<()>,
    when_full: WhenFull,
}

impl Output {
    /// Starts the writer.
    pub fn start(format: EventFormat, when_full: WhenFull) -> io::Result<Self> {
        let (lines, queue) = mpsc::sync_channel(QUEUE);
        let (finished, done) = mpsc::channel();
        if format != EventFormat::Off {
            thread::Builder::new().name(String::from("stdout")).spawn(move || {
                // A closed stdout ends the writing, not the tracing.
                let _ = write_lines(&queue, &mut BufWriter::new(io::stdout().lock()));
                let _ = finished.send(());
            })?;
        }
        Ok(Self { format, lines: Some(lines), done, when_full })
    }

    /// Queues a line.
    pub fn print(&self, reset: &ResetView) {
        let line = match self.format {
            EventFormat::Off => return,
            EventFormat::Text => reset.to_string(),
            EventFormat::Json => serde_json::to_string(reset).unwrap_or_default(),
        };
        let Some(lines) = &self.lines else { return };
        match &self.when_full {
            WhenFull::Drop(lost) => {
                if lines.try_send(line).is_err() {
                    lost.inc();
                }
            }
            // Fails only when stdout is closed: then nobody wants the line.
            WhenFull::Wait => drop(lines.send(line)),
        }
    }

    /// Waits until all lines are written, but not for ever on a reader that must not be waited for.
    pub fn finish(mut self) {
        self.lines = None;
        match self.when_full {
            _ if self.format == EventFormat::Off => {}
            WhenFull::Wait => drop(self.done.recv()),
            WhenFull::Drop(_) => {
                if self.done.recv_timeout(FAREWELL) == Err(RecvTimeoutError::Timeout) {
                    log::warn!("stdout did not take the last lines within {} s", FAREWELL.as_secs());
                }
            }
        }
    }
}

fn write_lines(queue: &Receiver<String>, out: &mut impl Write) -> io::Result<()> {
    while let Ok(line) = queue.recv() {
        writeln!(out, "{line}")?;
        // What is there already goes out in one write.
        while let Ok(line) = queue.try_recv() {
            writeln!(out, "{line}")?;
        }
        out.flush()?;
    }
    Ok(())
}
