//! What the kernel side reports, written to a file as it is, for `tracer replay`.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use anyhow::{Context, Result};

use crate::sources::recording::Header;

/// Writes a recording. The first error ends it, said once: a full disk must not end the tracing.
pub struct Recorder {
    file: Option<BufWriter<File>>,
}

impl Recorder {
    /// Creates the file.
    pub fn create(path: &Path, header: &Header) -> Result<Self> {
        let create = || -> io::Result<_> {
            let mut file = BufWriter::new(File::create(path)?);
            serde_json::to_writer(&mut file, header)?;
            file.write_all(b"\n")?;
            file.flush()?;
            Ok(file)
        };
        let file = create().with_context(|| format!("cannot write the recording {}", path.display()))?;
        Ok(Self { file: Some(file) })
    }

    /// Adds a record as it came from the ring.
    pub fn record(&mut self, bytes: &[u8]) {
        self.attempt(|file| file.write_all(bytes));
    }

    /// Hands what was added to the operating system.
    pub fn flush(&mut self) {
        self.attempt(BufWriter::flush);
    }

    fn attempt(&mut self, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) {
        let result = self.file.as_mut().map_or(Ok(()), write);
        if let Err(error) = result {
            log::error!("the recording ends here, tracing goes on: {error}");
            self.file = None;
        }
    }
}
