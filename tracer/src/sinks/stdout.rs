//! Resets on stdout, one line each. A reader that is slow or gone never holds up the events: lines that find
//! the queue full are dropped and counted.

use std::{
    fmt::Write as _,
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use prometheus::IntCounter;
use tracer_core::classify::ResetView;

use crate::config::EventFormat;

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
    queue: Arc<Queue>,
    when_full: WhenFull,
}

impl Output {
    /// Starts the writer.
    pub fn start(format: EventFormat, when_full: WhenFull) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        if format != EventFormat::Off {
            let lines = Arc::clone(&queue);
            thread::Builder::new().name(String::from("stdout")).spawn(move || {
                // A closed stdout ends the writing, not the tracing.
                let _ = lines.write_to(&mut io::stdout().lock());
                lines.change().written = true;
                lines.changed.notify_all();
            })?;
        }
        Ok(Self { format, queue, when_full })
    }

    /// Queues a line; [`Self::flush`] tells the writer.
    pub fn print(&self, reset: &ResetView) {
        if self.format == EventFormat::Off {
            return;
        }
        let mut lines = self.queue.change();
        if lines.count >= QUEUE && matches!(self.when_full, WhenFull::Wait) {
            self.queue.changed.notify_all();
            lines = self.queue.wait_while(lines, |lines| lines.count >= QUEUE && !lines.written);
        }
        // Nobody wants what comes after stdout was closed.
        if lines.count >= QUEUE || lines.written {
            if let WhenFull::Drop(lost) = &self.when_full {
                lost.inc();
            }
            return;
        }
        lines.count += 1;
        match self.format {
            EventFormat::Json => lines.text += &serde_json::to_string(reset).unwrap_or_default(),
            // To write into memory cannot fail.
            _ => drop(write!(lines.text, "{reset}")),
        }
        lines.text.push('\n');
    }

    /// Lets the writer have what was queued.
    pub fn flush(&self) {
        if !self.queue.change().text.is_empty() {
            self.queue.changed.notify_all();
        }
    }

    /// Waits until all lines are written, but not for ever on a reader that must not be waited for.
    pub fn finish(self) {
        if self.format == EventFormat::Off {
            return;
        }
        let mut lines = self.queue.change();
        lines.closed = true;
        self.queue.changed.notify_all();
        match self.when_full {
            WhenFull::Wait => drop(self.queue.wait_while(lines, |lines| !lines.written)),
            WhenFull::Drop(_) => {
                let waited = self.queue.changed.wait_timeout_while(lines, FAREWELL, |lines| !lines.written);
                if waited.unwrap_or_else(PoisonError::into_inner).1.timed_out() {
                    log::warn!("stdout did not take the last lines within {} s", FAREWELL.as_secs());
                }
            }
        }
    }
}

/// Lines between those who print and the one who writes, who takes all there are at once.
#[derive(Default)]
struct Queue {
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Default)]
struct Lines {
    text: String,
    /// Lines in `text`, and those being written.
    count: usize,
    /// No more will come.
    closed: bool,
    /// No more will be written.
    written: bool,
}

impl Queue {
    fn change(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while<'a>(
        &self,
        lines: MutexGuard<'a, Lines>,
        condition: impl Fn(&mut Lines) -> bool,
    ) -> MutexGuard<'a, Lines> {
        self.changed.wait_while(lines, condition).unwrap_or_else(PoisonError::into_inner)
    }

    fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        loop {
            let mut lines = self.wait_while(self.change(), |lines| lines.text.is_empty() && !lines.closed);
            if lines.text.is_empty() {
                return Ok(());
            }
            let (text, count) = (std::mem::take(&mut lines.text), lines.count);
            drop(lines);
            out.write_all(text.as_bytes())?;
            out.flush()?;
            self.change().count -= count;
            self.changed.notify_all();
        }
    }
}
