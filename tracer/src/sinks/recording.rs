//! What the kernel side reports, written to a file as it is, for `tracer replay`. A disk that stands still never holds
//! up the events: records that find the queue full are dropped and counted.

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::Instant,
};

use anyhow::{Context, Result, bail};

use crate::{
    sources::recording::Header,
    writer::{AfterError, WhenFull, Writer},
};

/// Records that may wait for the disk: 4 MiB.
const QUEUE: usize = 16_384;

/// A recording that has its header: to make the file takes rights that a daemon gives up before it starts a thread.
pub struct NewRecording {
    file: File,
    /// Bytes that may still be written.
    left: u64,
}

impl NewRecording {
    /// Creates the file, for its owner only and of `limit` bytes at most. A file that is there stays as it is.
    pub fn create(path: &Path, limit: u64, header: &Header) -> Result<Self> {
        // Neither follows a link: a new file is one that had no name of any kind.
        let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let mut file = match created {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                bail!(
                    "{} is there already and stays as it is: name a new file for the recording",
                    path.display()
                )
            }
            other => other.with_context(|| format!("cannot create the recording {}", path.display()))?,
        };
        let mut header = serde_json::to_vec(header)?;
        header.push(b'\n');
        let left = limit
            .checked_sub(header.len() as u64)
            .with_context(|| format!("--record-limit {limit} has no room for the recording's first line"))?;
        file.write_all(&header).with_context(|| format!("cannot write the recording {}", path.display()))?;
        Ok(Self { file, left })
    }

    /// Starts the thread that writes the records.
    pub fn start(self) -> io::Result<Recorder> {
        let records = Writer::start("recording", self.file, QUEUE, WhenFull::Drop, |error| {
            log::error!("{THE_END}: {error}");
            AfterError::End
        })?;
        Ok(Recorder { records, left: Some(self.left), late: 0 })
    }
}

/// Writes a recording. Its limit or the first error ends it, said once: a full disk must not end the tracing. What
/// comes after that is counted.
pub struct Recorder {
    records: Writer,
    /// Bytes that may still be queued; `None` once a record was too many.
    left: Option<u64>,
    /// Records that came after its end.
    late: u64,
}

impl Recorder {
    /// Queues a record as it came from the ring; [`Self::flush`] tells the writer.
    pub fn record(&mut self, bytes: &[u8]) {
        let Some(left) = self.left else {
            self.late += 1;
            return;
        };
        match left.checked_sub(bytes.len() as u64) {
            None => {
                log::error!("{THE_END}: it has reached --record-limit");
                (self.left, self.late) = (None, self.late + 1);
            }
            left => {
                if self.records.push(|queued| queued.extend(bytes)) {
                    self.left = left;
                }
            }
        }
    }

    /// Lets the writer have what was queued.
    pub fn flush(&self) {
        self.records.flush();
    }

    /// Records that are not in the file, since the start.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.late + self.records.dropped()
    }

    /// No more records will come.
    pub fn close(&self) {
        self.records.close();
    }

    /// Waits until all records are written, until `deadline` at most.
    pub fn finish(&self, deadline: Instant) {
        self.close();
        if !self.records.ended_by(deadline) {
            log::error!("the recording did not take the last records in time");
        }
    }
}

/// What the log says of it.
const THE_END: &str = "the recording ends here, tracing goes on";

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt as _, symlink},
        path::PathBuf,
        time::Duration,
    };

    use tracer_core::{
        decode::{KernelFacts, Reasons},
        model::{Jiffy, KernelNs},
    };

    use super::*;

    fn header() -> Header {
        let facts = KernelFacts {
            jiffy: Jiffy::default(),
            reasons: Reasons::default(),
            watched_since: KernelNs::default(),
        };
        Header::of_this_machine(String::from("6.18"), &facts, false)
    }

    /// A directory of this test's own.
    fn directory(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("tracer-recording-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).unwrap();
        directory
    }

    #[test]
    fn what_is_there_already_is_neither_followed_nor_overwritten() {
        let directory = directory("there");
        let path = |name: &str| directory.join(name);
        fs::write(path("file"), "kept").unwrap();
        symlink(path("file"), path("link")).unwrap();
        symlink(path("nowhere"), path("dangling")).unwrap();
        for name in ["file", "link", "dangling"] {
            let refused = NewRecording::create(&path(name), 1 << 20, &header()).err().unwrap().to_string();
            assert!(refused.contains("is there already"), "{name}: {refused}");
        }
        assert_eq!(fs::read_to_string(path("file")).unwrap(), "kept");
        assert!(!path("nowhere").exists());
        NewRecording::create(&path("new"), 1 << 20, &header()).unwrap();
        assert_eq!(fs::metadata(path("new")).unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_recording_ends_at_its_limit_and_the_rest_is_counted() {
        let directory = directory("limit");
        let header_bytes = serde_json::to_vec(&header()).unwrap().len() as u64 + 1;
        // The limit beyond the header; records of 100 bytes that come, flushed one by one; and those in the file.
        for (limit, records, written) in
            [(0_u64, 3, 0), (99, 3, 0), (100, 1, 1), (100, 3, 1), (350, 3, 3), (350, 9, 3)]
        {
            let path = directory.join(format!("{limit}-{records}"));
            let mut recorder =
                NewRecording::create(&path, header_bytes + limit, &header()).unwrap().start().unwrap();
            for _ in 0..records {
                recorder.record(&[7; 100]);
                recorder.flush();
            }
            recorder.finish(Instant::now() + Duration::from_secs(10));
            assert_eq!(recorder.lost(), records - written, "{records} records, {limit} bytes");
            assert_eq!(fs::metadata(&path).unwrap().len(), header_bytes + 100 * written);
        }
        assert!(NewRecording::create(&directory.join("none"), 10, &header()).is_err());
        fs::remove_dir_all(directory).unwrap();
    }
}
