//! Lines for a reader who may be slow or gone. They wait in a bounded queue for a thread that writes them, so that
//! whoever prints is never held up; each is written whole or not at all, and those that are not are counted.

use std::{
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// What to do with a line that finds the queue full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Drop it and count it: whoever prints comes first.
    Drop,
    /// Wait for the reader.
    Wait,
}

/// The way into the queue; clones share it.
#[derive(Clone)]
pub struct LineWriter {
    queue: Arc<Queue>,
    limit: usize,
    when_full: WhenFull,
}

impl LineWriter {
    /// A queue for at most `limit` lines, which wait until [`Self::write`].
    pub(crate) fn new(limit: usize, when_full: WhenFull) -> Self {
        Self { queue: Arc::default(), limit, when_full }
    }

    /// Starts a thread of this name that writes to `out`. It ends at the first error.
    pub(crate) fn write(&self, name: &str, mut out: impl Write + Send + 'static) -> io::Result<()> {
        let lines = Arc::clone(&self.queue);
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            // A reader who is gone ends the writing, nothing else.
            let _ = lines.write_to(&mut out);
            lines.lock().ended = true;
            lines.changed.notify_all();
        })?;
        Ok(())
    }

    /// Both at once.
    pub fn start(
        name: &str,
        out: impl Write + Send + 'static,
        limit: usize,
        when_full: WhenFull,
    ) -> io::Result<Self> {
        let lines = Self::new(limit, when_full);
        lines.write(name, out)?;
        Ok(lines)
    }

    /// Queues the line that `write` appends, without its end; [`Self::flush`] tells the writer. Returns whether there
    /// was room.
    pub fn print(&self, write: impl FnOnce(&mut String)) -> bool {
        let mut lines = self.queue.lock();
        if lines.count >= self.limit && self.when_full == WhenFull::Wait {
            self.queue.changed.notify_all();
            lines = self.queue.wait_while(lines, |lines| lines.count >= self.limit && !lines.ended);
        }
        if lines.count >= self.limit || lines.ended {
            lines.dropped += 1;
            return false;
        }
        lines.count += 1;
        write(&mut lines.text);
        lines.text.push('\n');
        true
    }

    /// Lets the writer have what was queued.
    pub fn flush(&self) {
        if !self.queue.lock().text.is_empty() {
            self.queue.changed.notify_all();
        }
    }

    /// Lines that were dropped so far.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.queue.lock().dropped
    }

    /// Ends the queue and waits until all lines are written; at most for `patience` on a reader who must not be waited
    /// for. Returns whether the writer came to its end.
    #[must_use]
    pub fn finish(&self, patience: Duration) -> bool {
        let mut lines = self.queue.lock();
        lines.closed = true;
        self.queue.changed.notify_all();
        match self.when_full {
            WhenFull::Wait => self.queue.wait_while(lines, |lines| !lines.ended).ended,
            WhenFull::Drop => {
                let waited = self.queue.changed.wait_timeout_while(lines, patience, |lines| !lines.ended);
                waited.unwrap_or_else(PoisonError::into_inner).0.ended
            }
        }
    }
}

/// Lines between those who print and the thread that writes, which takes all there are at once.
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
    dropped: u64,
    /// No more will come.
    closed: bool,
    /// No more will be written.
    ended: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Lines> {
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
            let mut lines = self.wait_while(self.lock(), |lines| lines.text.is_empty() && !lines.closed);
            if lines.text.is_empty() {
                return Ok(());
            }
            let (text, count) = (std::mem::take(&mut lines.text), lines.count);
            drop(lines);
            out.write_all(text.as_bytes())?;
            out.flush()?;
            self.lock().count -= count;
            self.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, os::unix::net::UnixStream};

    use super::*;

    /// Far more than the queue and a socket's buffers hold.
    const MANY: usize = 100_000;
    const LIMIT: usize = 100;
    const PATIENCE: Duration = Duration::from_millis(1);

    fn writer(when_full: WhenFull) -> (LineWriter, UnixStream) {
        let (reader, out) = UnixStream::pair().unwrap();
        (LineWriter::start("test", out, LIMIT, when_full).unwrap(), reader)
    }

    /// Prints numbered lines; returns the numbers of those that found room.
    fn print_many(lines: &LineWriter) -> Vec<String> {
        let printed = (0..MANY).map(|number| format!("this is line {number}")).filter(|line| {
            let queued = lines.print(|text| text.push_str(line));
            lines.flush();
            queued
        });
        printed.collect()
    }

    fn read(mut reader: UnixStream) -> Vec<String> {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn lines_that_find_the_queue_full_are_counted_and_the_others_come_whole_and_in_order() {
        let (lines, reader) = writer(WhenFull::Drop);
        let queued = print_many(&lines);
        assert!(!lines.finish(PATIENCE), "the writer waits for a reader");
        assert_eq!(lines.dropped(), (MANY - queued.len()) as u64);
        assert!(lines.dropped() > 0);
        assert_eq!(read(reader), queued);
    }

    #[test]
    fn a_reader_who_is_waited_for_gets_every_line() {
        let (lines, reader) = writer(WhenFull::Wait);
        let reader = thread::spawn(|| read(reader));
        assert_eq!(print_many(&lines).len(), MANY);
        assert!(lines.finish(PATIENCE));
        drop(lines);
        assert_eq!(reader.join().unwrap().len(), MANY);
    }

    #[test]
    fn a_reader_who_is_gone_holds_nobody_up() {
        for when_full in [WhenFull::Drop, WhenFull::Wait] {
            let (lines, reader) = writer(when_full);
            drop(reader);
            let queued = print_many(&lines);
            assert_eq!(lines.dropped(), (MANY - queued.len()) as u64);
        }
    }
}
