//! What the kernel side reports, written to a file as it is, for `tracer replay`.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::{Context, Result, bail};

use crate::sources::recording::Header;

/// Writes a recording. Its limit or the first error ends it, said once: a full disk must not end the tracing. What
/// comes after that is counted.
pub struct Recorder {
    file: Option<BufWriter<File>>,
    /// Bytes that may still be written.
    left: u64,
    /// Records that the operating system does not have yet.
    buffered: u64,
    lost: u64,
}

impl Recorder {
    /// Creates the file, for its owner only and of `limit` bytes at most. One that is there stays as it is.
    pub fn create(path: &Path, limit: u64, header: &Header) -> Result<Self> {
        // Neither follows a link: a new file is one that had no name of any kind.
        let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = match created {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                bail!(
                    "{} is there already and stays as it is: name a new file for the recording",
                    path.display()
                )
            }
            other => other.with_context(|| format!("cannot create the recording {}", path.display()))?,
        };
        let mut recorder = Self { file: Some(BufWriter::new(file)), left: limit, buffered: 0, lost: 0 };
        let mut header = serde_json::to_vec(header)?;
        header.push(b'\n');
        recorder.write(&header).with_context(|| format!("cannot write the recording {}", path.display()))?;
        recorder.flush();
        Ok(recorder)
    }

    /// Adds a record as it came from the ring.
    pub fn record(&mut self, bytes: &[u8]) {
        if self.file.is_none() {
            self.lost += 1;
            return;
        }
        self.buffered += 1;
        if let Err(error) = self.write(bytes) {
            self.end(&error);
        }
    }

    /// Hands what was added to the operating system.
    pub fn flush(&mut self) {
        match self.file.as_mut().map_or(Ok(()), BufWriter::flush) {
            Ok(()) => self.buffered = 0,
            Err(error) => self.end(&error),
        }
    }

    /// Records that are not in the file, since the start.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        self.left = self
            .left
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| io::Error::other("it has reached --record-limit"))?;
        file.write_all(bytes)
    }

    fn end(&mut self, reason: &io::Error) {
        log::error!("the recording ends here, tracing goes on: {reason}");
        // What the file has of them is not known; one that was too many is among them.
        self.lost += self.buffered;
        self.buffered = 0;
        self.file = None;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt as _, symlink},
        path::PathBuf,
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
        Header::of_this_machine(String::from("6.18"), &facts)
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
            let refused = Recorder::create(&path(name), 1 << 20, &header()).err().unwrap().to_string();
            assert!(refused.contains("is there already"), "{name}: {refused}");
        }
        assert_eq!(fs::read_to_string(path("file")).unwrap(), "kept");
        assert!(!path("nowhere").exists());
        Recorder::create(&path("new"), 1 << 20, &header()).unwrap().flush();
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
            let mut recorder = Recorder::create(&path, header_bytes + limit, &header()).unwrap();
            for _ in 0..records {
                recorder.record(&[7; 100]);
                recorder.flush();
            }
            assert_eq!(recorder.lost(), records - written, "{records} records, {limit} bytes");
            assert_eq!(fs::metadata(&path).unwrap().len(), header_bytes + 100 * written);
        }
        assert!(Recorder::create(&directory.join("none"), 10, &header()).is_err());
        fs::remove_dir_all(directory).unwrap();
    }
}
