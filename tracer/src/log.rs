//! The log on stderr. Whoever reads it may stand still: lines that find the queue full are dropped, and the log says
//! how many.

use std::{
    cell::Cell,
    io::{self, Write},
    time::{Duration, Instant},
};

use env_logger::{Builder, Target};
use log::LevelFilter;

use crate::writer::{WhenFull, Writer, while_there_is_a_reader};

/// Lines that may wait for the reader.
const QUEUE: usize = 1024;

/// How long the last lines get to be written at the end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(300);

/// The targets of this program's own crates, on both sides, begin like this.
const OWN: &str = "tracer";

/// Keeps the log going; dropped, it waits a moment for the last lines.
pub struct Log {
    lines: Writer,
    written: Cell<bool>,
}

/// Logs into a queue, which waits until [`Log::write`]: a daemon has no other thread while it has privileges.
#[must_use]
pub fn start(level: LevelFilter) -> Log {
    let lines = Writer::new(QUEUE, WhenFull::Drop);
    logger(level, Pipe { lines: lines.clone(), announced: 0 }).init();
    Log { lines, written: Cell::new(false) }
}

impl Log {
    /// Starts the thread that writes, unless it was started before.
    pub fn write(&self) -> io::Result<()> {
        if self.written.get() {
            return Ok(());
        }
        self.lines.spawn("stderr", io::stderr(), while_there_is_a_reader("stderr"))?;
        self.written.set(true);
        Ok(())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // Without a thread nothing can be waited for; nor may anybody be reading any more.
        if self.write().is_ok() {
            self.lines.close();
            let _ = self.lines.ended_by(Instant::now() + SHUTDOWN_TIMEOUT);
        }
    }
}

/// Of other crates only warnings are of interest: aya has a line for each relocation.
fn logger(level: LevelFilter, out: impl Write + Send + 'static) -> Builder {
    let mut builder = Builder::new();
    builder
        .filter_level(level.min(LevelFilter::Warn))
        .filter_module(OWN, level)
        .format_timestamp_millis()
        .format_target(false)
        .target(Target::Pipe(Box::new(out)));
    builder
}

/// Takes whole lines, as `env_logger` writes them.
struct Pipe {
    lines: Writer,
    /// Lost lines that the log has announced.
    announced: u64,
}

impl Write for Pipe {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let lost = self.lines.dropped() - self.announced;
        let queued = self.lines.push(|bytes| {
            if lost > 0 {
                // To write into memory cannot fail.
                let _ = writeln!(bytes, "{lost} lines of this log were lost: nobody read it");
            }
            bytes.extend(line);
        });
        if queued {
            self.announced += lost;
        }
        self.lines.flush();
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader, Read as _},
        os::unix::net::UnixStream,
        thread,
    };

    use log::{Level, Log as _, Record};

    use super::*;
    use crate::writer::AfterError;

    fn logged(level: LevelFilter, target: &str, of: Level) -> String {
        let (mut reader, out) = UnixStream::pair().unwrap();
        let logger = logger(level, out).build();
        let record = |message| Record::builder().target(target).level(of).args(message).build();
        logger.log(&record(format_args!("a message")));
        drop(logger);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_line_says_when_in_utc_to_the_millisecond() {
        let line = logged(LevelFilter::Info, "tracer::daemon", Level::Info);
        let (time, rest) = line.trim_start_matches('[').split_once(' ').unwrap();
        assert_eq!(rest, "INFO ] a message\n");
        let parsed: jiff::Timestamp = time.parse().unwrap();
        assert_eq!(format!("{parsed:.3}"), time);
        assert!(jiff::Timestamp::now().duration_since(parsed).as_secs() < 60, "{time}");
    }

    #[test]
    fn debug_is_of_our_own_crates_and_others_only_warn() {
        for (target, level, expected) in [
            ("tracer::daemon", Level::Debug, true),
            ("tracer_core::engine", Level::Debug, true),
            ("tracer_ebpf::reset", Level::Debug, true),
            ("tracer::daemon", Level::Trace, false),
            ("aya_obj::relocation", Level::Debug, false),
            ("aya::bpf", Level::Info, false),
            ("aya::bpf", Level::Warn, true),
        ] {
            assert_eq!(!logged(LevelFilter::Debug, target, level).is_empty(), expected, "{target} {level}");
        }
        assert!(logged(LevelFilter::Error, "aya::bpf", Level::Warn).is_empty());
    }

    #[test]
    fn a_log_that_was_not_read_says_how_many_lines_it_lost() {
        const LINE: &str = "a line that nobody reads";
        let (reader, out) = UnixStream::pair().unwrap();
        let lines = Writer::start("test", out, 10, WhenFull::Drop, |_| AfterError::End).unwrap();
        let mut log = Pipe { lines: lines.clone(), announced: 0 };
        let mut written = 0;
        let mut write_until = |done: fn(&Pipe) -> bool| {
            while !done(&log) {
                log.write_all(format!("{LINE}\n").as_bytes()).unwrap();
                written += 1;
            }
        };
        write_until(|log| log.lines.dropped() > 0);
        let reader =
            thread::spawn(|| BufReader::new(reader).lines().map_while(Result::ok).collect::<Vec<_>>());
        write_until(|log| log.announced > 0);
        lines.close();
        while !lines.ended_by(Instant::now() + SHUTDOWN_TIMEOUT) {}

        let read = reader.join().unwrap();
        let sentence = format!("{} lines of this log were lost: nobody read it", log.announced);
        assert!(read.contains(&sentence), "{sentence}");
        assert_eq!(read.iter().filter(|line| *line == LINE).count() as u64 + lines.dropped(), written);
    }
}
