//! Lines and records for a reader who may be slow or gone, or for a disk that may be. They wait in a bounded queue for
//! a thread that writes them, so that whoever has them is never held up; each is written whole or not at all, and
//! those that are not are counted.

use std::{
    io::{self, ErrorKind, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use nix::libc::EBADF;

/// How long after a write that failed it is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What to do with an entry that finds the queue full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Drop it and count it: whoever has it comes first.
    Drop,
    /// Wait for the reader.
    Wait,
}

/// What to do after a write that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterError {
    /// Go on in a while where the writing stopped, so that no entry is torn.
    Retry,
    /// Write nothing more.
    End,
}

/// For standard output and error: their disk may have room again, a reader who is gone does not come back. The first
/// error is logged.
pub fn while_there_is_a_reader(name: &'static str) -> impl FnMut(&io::Error) -> AfterError + Send {
    let mut told = false;
    move |error| {
        if error.kind() == ErrorKind::BrokenPipe || error.raw_os_error() == Some(EBADF) {
            return AfterError::End;
        }
        if !std::mem::replace(&mut told, true) {
            log::warn!("{name} takes no lines now, is tried again every second and says so once: {error}");
        }
        AfterError::Retry
    }
}

/// The way into the queue; clones share it.
#[derive(Clone)]
pub struct Writer {
    queue: Arc<Queue>,
    limit: usize,
    when_full: WhenFull,
}

impl Writer {
    /// A queue of at most `limit` entries, which wait until [`Self::spawn`].
    pub(crate) fn new(limit: usize, when_full: WhenFull) -> Self {
        Self { queue: Arc::default(), limit, when_full }
    }

    /// Starts the thread of this name that writes to `out`. `failed` is told of every write that fails.
    pub(crate) fn spawn(
        &self,
        name: &str,
        mut out: impl Write + Send + 'static,
        mut failed: impl FnMut(&io::Error) -> AfterError + Send + 'static,
    ) -> io::Result<()> {
        let queue = Arc::clone(&self.queue);
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            queue.write_to(&mut out, &mut failed);
            queue.end();
        })?;
        Ok(())
    }

    /// Both at once.
    pub fn start(
        name: &str,
        out: impl Write + Send + 'static,
        limit: usize,
        when_full: WhenFull,
        failed: impl FnMut(&io::Error) -> AfterError + Send + 'static,
    ) -> io::Result<Self> {
        let writer = Self::new(limit, when_full);
        writer.spawn(name, out, failed)?;
        Ok(writer)
    }

    /// Queues the bytes that `write` appends as one entry; [`Self::flush`] tells the writer. Returns whether there was
    /// room.
    pub fn push(&self, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut entries = self.queue.lock();
        if entries.count >= self.limit && self.when_full == WhenFull::Wait {
            self.queue.changed.notify_all();
            entries = self.queue.wait_while(entries, |entries| entries.count >= self.limit && !entries.ended);
        }
        if entries.count >= self.limit || entries.ended {
            entries.dropped += 1;
            return false;
        }
        entries.count += 1;
        write(&mut entries.bytes);
        true
    }

    /// Lets the writer have what was queued.
    pub fn flush(&self) {
        if !self.queue.lock().bytes.is_empty() {
            self.queue.changed.notify_all();
        }
    }

    /// Entries that were dropped so far.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.queue.lock().dropped
    }

    /// Ends the queue: the writer ends when it has written what is there.
    pub fn close(&self) {
        self.queue.lock().closed = true;
        self.queue.changed.notify_all();
    }

    /// Waits until a closed writer has ended, and returns whether it has; at most until `deadline` for a reader who
    /// must not be waited for.
    #[must_use]
    pub fn ended_by(&self, deadline: Instant) -> bool {
        let entries = self.queue.lock();
        match self.when_full {
            WhenFull::Wait => self.queue.wait_while(entries, |entries| !entries.ended).ended,
            WhenFull::Drop => {
                let patience = deadline.saturating_duration_since(Instant::now());
                self.queue.wait_for(entries, patience, |entries| !entries.ended).ended
            }
        }
    }
}

/// Entries between those who have them and the thread that writes, which takes all there are at once.
#[derive(Default)]
struct Queue {
    entries: Mutex<Entries>,
    changed: Condvar,
}

#[derive(Default)]
struct Entries {
    bytes: Vec<u8>,
    /// Entries in `bytes`, and those being written.
    count: usize,
    dropped: u64,
    /// No more will come.
    closed: bool,
    /// No more will be written.
    ended: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while<'a>(
        &self,
        entries: MutexGuard<'a, Entries>,
        condition: impl Fn(&mut Entries) -> bool,
    ) -> MutexGuard<'a, Entries> {
        self.changed.wait_while(entries, condition).unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for<'a>(
        &self,
        entries: MutexGuard<'a, Entries>,
        time: Duration,
        condition: impl Fn(&mut Entries) -> bool,
    ) -> MutexGuard<'a, Entries> {
        self.changed.wait_timeout_while(entries, time, condition).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Writes until the queue is closed and empty, or an error ends it.
    fn write_to(&self, out: &mut impl Write, failed: &mut impl FnMut(&io::Error) -> AfterError) {
        loop {
            let mut entries =
                self.wait_while(self.lock(), |entries| entries.bytes.is_empty() && !entries.closed);
            if entries.bytes.is_empty() {
                return;
            }
            let (bytes, count) = (std::mem::take(&mut entries.bytes), entries.count);
            drop(entries);
            if !self.write_all(&bytes, out, failed) {
                return;
            }
            self.lock().count -= count;
            self.changed.notify_all();
        }
    }

    /// Nothing more is written: what still waits is lost.
    fn end(&self) {
        let mut entries = self.lock();
        entries.ended = true;
        entries.dropped += entries.count as u64;
        drop(entries);
        self.changed.notify_all();
    }

    /// Writes all of the bytes; false if an error ended it.
    fn write_all(
        &self,
        mut bytes: &[u8],
        out: &mut impl Write,
        failed: &mut impl FnMut(&io::Error) -> AfterError,
    ) -> bool {
        while !bytes.is_empty() {
            let error = match out.write(bytes) {
                Ok(0) => ErrorKind::WriteZero.into(),
                Ok(written) => {
                    bytes = &bytes[written..];
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            if failed(&error) == AfterError::End {
                return false;
            }
            // Told to end, it has tried once more.
            if self.wait_for(self.lock(), RETRY, |entries| !entries.closed).closed {
                return out.write_all(bytes).is_ok();
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, os::unix::net::UnixStream, sync::mpsc};

    use super::*;

    /// Far more than the queue and a socket's buffers hold.
    const MANY: usize = 100_000;
    const LIMIT: usize = 100;
    const PATIENCE: Duration = Duration::from_millis(1);

    fn writer(when_full: WhenFull) -> (Writer, UnixStream) {
        let (reader, out) = UnixStream::pair().unwrap();
        (Writer::start("test", out, LIMIT, when_full, |_| AfterError::End).unwrap(), reader)
    }

    fn finish(lines: &Writer) -> bool {
        lines.close();
        lines.ended_by(Instant::now() + PATIENCE)
    }

    /// Prints numbered lines; returns the numbers of those that found room.
    fn print_many(lines: &Writer) -> Vec<String> {
        let printed = (0..MANY).map(|number| format!("this is line {number}")).filter(|line| {
            let queued = lines.push(|bytes| writeln!(bytes, "{line}").unwrap());
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
        assert!(!finish(&lines), "the writer waits for a reader");
        assert_eq!(lines.dropped(), (MANY - queued.len()) as u64);
        assert!(lines.dropped() > 0);
        assert_eq!(read(reader), queued);
    }

    #[test]
    fn a_reader_who_is_waited_for_gets_every_line() {
        let (lines, reader) = writer(WhenFull::Wait);
        let reader = thread::spawn(|| read(reader));
        assert_eq!(print_many(&lines).len(), MANY);
        assert!(finish(&lines));
        drop(lines);
        assert_eq!(reader.join().unwrap().len(), MANY);
    }

    #[test]
    fn a_reader_who_is_gone_holds_nobody_up() {
        for when_full in [WhenFull::Drop, WhenFull::Wait] {
            let (lines, reader) = writer(when_full);
            drop(reader);
            print_many(&lines);
            lines.close();
            assert!(lines.ended_by(Instant::now() + Duration::from_secs(10)));
            assert_eq!(lines.dropped(), MANY as u64);
        }
    }

    /// A disk that is full until it has taken as many more bytes as `room` says.
    struct Disk {
        room: Arc<Mutex<usize>>,
        taken: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut room = self.room.lock().unwrap();
            let fits = bytes.len().min(*room);
            if fits == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            *room -= fits;
            self.taken.lock().unwrap().extend(&bytes[..fits]);
            Ok(fits)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_a_full_disk_did_not_take_goes_on_where_it_stopped() {
        let (room, taken) = <(Arc<Mutex<usize>>, Arc<Mutex<Vec<u8>>>)>::default();
        *room.lock().unwrap() = 10;
        let disk = Disk { room: Arc::clone(&room), taken: Arc::clone(&taken) };
        let (failed, failures) = mpsc::channel();
        let lines = Writer::start("test", disk, LIMIT, WhenFull::Drop, move |error| {
            failed.send(error.kind()).unwrap();
            AfterError::Retry
        });
        let lines = lines.unwrap();
        for line in ["one line\n", "another line\n"] {
            assert!(lines.push(|bytes| bytes.extend(line.as_bytes())));
        }
        lines.flush();
        assert_eq!(failures.recv().unwrap(), ErrorKind::StorageFull);
        assert_eq!(taken.lock().unwrap().len(), 10);
        *room.lock().unwrap() = MANY;
        lines.close();
        assert!(lines.ended_by(Instant::now() + Duration::from_secs(10)));
        assert_eq!(String::from_utf8(taken.lock().unwrap().clone()).unwrap(), "one line\nanother line\n");
        assert_eq!(lines.dropped(), 0);
    }
}
