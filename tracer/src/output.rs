//! Resets on stdout, one line each. A reader that is slow or gone never holds up the events: lines that find
//! the queue full are dropped and counted.

use std::{
    io::{self, BufWriter, Write},
    sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError},
    thread,
    time::Duration,
};

use prometheus::IntCounter;

use crate::{config::EventFormat, reset::ResetView};

/// Lines that may wait for the reader.
const QUEUE: usize = 8192;

/// How long the last lines get to be written at the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// Prints resets in one format.
pub struct Output {
    format: EventFormat,
    lines: Option<SyncSender<String>>,
    done: Receiver<()>,
    lost: IntCounter,
}

impl Output {
    /// Starts the writer. `lost` counts the lines that were dropped.
    pub fn start(format: EventFormat, lost: IntCounter) -> io::Result<Self> {
        let (lines, queue) = mpsc::sync_channel(QUEUE);
        let (finished, done) = mpsc::channel();
        if format != EventFormat::Off {
            thread::Builder::new().name(String::from("stdout")).spawn(move || {
                // A closed stdout ends the writing, not the tracing.
                let _ = write_lines(&queue, &mut BufWriter::new(io::stdout().lock()));
                let _ = finished.send(());
            })?;
        }
        Ok(Self { format, lines: Some(lines), done, lost })
    }

    /// Queues a line.
    pub fn print(&self, reset: &ResetView) {
        let line = match self.format {
            EventFormat::Off => return,
            EventFormat::Text => reset.to_string(),
            EventFormat::Json => serde_json::to_string(reset).unwrap_or_default(),
        };
        if let Some(Err(TrySendError::Full(_))) = self.lines.as_ref().map(|lines| lines.try_send(line)) {
            self.lost.inc();
        }
    }

    /// Waits, but not for ever, until all lines are written.
    pub fn finish(mut self) {
        self.lines = None;
        if self.format != EventFormat::Off
            && self.done.recv_timeout(FAREWELL) == Err(RecvTimeoutError::Timeout)
        {
            log::warn!("stdout did not take the last lines within {} s", FAREWELL.as_secs());
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
