//! The log on stderr. Whoever reads it may stand still: that never holds up the events, lines that find the queue full
//! are dropped, and the log says how many.

use std::{
    io::{self, Write},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    thread,
    time::Duration,
};

use log::LevelFilter;

use crate::kernel::preflight;

/// Lines that may wait for the reader.
const QUEUE: usize = 1024;

/// How long the last lines get to be written at the end.
const FAREWELL: Duration = Duration::from_secs(1);

/// Keeps the log going; dropped, it waits a moment for the last lines.
pub struct Diagnostics {
    to_writer: SyncSender<Message>,
    written: Receiver<()>,
}

enum Message {
    Line(Vec<u8>),
    End,
}

/// Starts the writer and logs to it.
pub fn start(level: LevelFilter) -> io::Result<Diagnostics> {
    let (to_writer, lines) = sync_channel(QUEUE);
    let (done, written) = sync_channel(1);
    thread::Builder::new().name(String::from("stderr")).spawn(move || {
        // Capabilities belong to threads, and this one needs none.
        if let Err(error) = preflight::drop_privileges() {
            log::warn!("{error:#}");
        }
        while let Ok(Message::Line(line)) = lines.recv() {
            // Nobody may be reading any more.
            let _ = io::stderr().write_all(&line);
        }
        let _ = done.try_send(());
    })?;
    env_logger::Builder::new()
        .filter_level(level)
        .format_timestamp_millis()
        .format_target(false)
        .target(env_logger::Target::Pipe(Box::new(Lines { to_writer: to_writer.clone(), lost: 0 })))
        .init();
    Ok(Diagnostics { to_writer, written })
}

impl Drop for Diagnostics {
    fn drop(&mut self) {
        if self.to_writer.try_send(Message::End).is_ok() {
            let _: Result<(), RecvTimeoutError> = self.written.recv_timeout(FAREWELL);
        }
    }
}

/// Takes whole lines, as `env_logger` writes them.
struct Lines {
    to_writer: SyncSender<Message>,
    lost: u64,
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut text = Vec::new();
        if self.lost > 0 {
            writeln!(text, "{} lines of this log were lost: nobody read it", self.lost)?;
        }
        text.extend_from_slice(line);
        match self.to_writer.try_send(Message::Line(text)) {
            Err(TrySendError::Full(_)) => self.lost += 1,
            _ => self.lost = 0,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
