//! The archive that a kernel unpacks as its first file system: cpio in the "newc" format.
//!
//! `Documentation/driver-api/early-userspace/buffer-format.rst` of the kernel's source.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const LINK: u32 = 0o120_777;

/// An archive in the making.
#[derive(Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
    directories: BTreeSet<String>,
}

impl Archive {
    /// Adds a file that may be executed, and the directories above it. `path` may begin with a slash.
    pub(crate) fn file(&mut self, path: &str, content: &[u8]) -> Result<()> {
        self.directories_above(path)?;
        self.entry(path, PROGRAM, content)
    }

    /// Adds a symbolic link, and the directories above it.
    pub(crate) fn link(&mut self, path: &str, target: &str) -> Result<()> {
        self.directories_above(path)?;
        self.entry(path, LINK, target.as_bytes())
    }

    /// Adds a directory and those above it, unless they are there.
    pub(crate) fn directory(&mut self, path: &str) -> Result<()> {
        if self.directories.insert(path.trim_start_matches('/').to_owned()) {
            self.directories_above(path)?;
            self.entry(path, DIRECTORY, &[])?;
        }
        Ok(())
    }

    /// The finished archive.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>> {
        self.entry("TRAILER!!!", 0, &[])?;
        Ok(self.bytes)
    }

    fn directories_above(&mut self, path: &str) -> Result<()> {
        match Path::new(path).parent().and_then(Path::to_str) {
            None | Some("" | "/") => Ok(()),
            Some(parent) => self.directory(parent),
        }
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        let path = path.trim_start_matches('/');
        let size = u32::try_from(content.len()).with_context(|| format!("{path} is too large"))?;
        let name_size = u32::try_from(path.len() + 1).with_context(|| format!("{path} is too long"))?;
        self.entries += 1;
        let mut header = "070701".to_owned();
        // Inode, mode, owner, group, links, time, size, device and device number in two parts each, length of the name,
        // checksum.
        for field in [self.entries, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0] {
            write!(header, "{field:08X}")?;
        }
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
        Ok(())
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_as_the_kernel_wants_it() {
        let mut archive = Archive::default();
        archive.file("/init", b"hello").unwrap();
        let bytes = archive.finish().unwrap();
        let header = "070701\
            00000001000081ED000000000000000000000001000000000000000500000000000000000000000000000000\
            0000000500000000";
        assert_eq!(&bytes[..110], header.as_bytes());
        // The header and the name with its end fill 115 bytes, the content 5.
        assert_eq!(&bytes[110..124], b"init\0\0hello\0\0\0");
        assert_eq!(&bytes[124..130], b"070701");
        assert!(bytes.len().is_multiple_of(4));
    }

    #[test]
    fn directories_come_before_what_is_in_them_and_once() {
        let mut archive = Archive::default();
        archive.file("/usr/bin/a", b"").unwrap();
        archive.link("/usr/bin/b", "a").unwrap();
        let bytes = archive.finish().unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let names: Vec<&str> = ["usr\0", "usr/bin\0", "usr/bin/a\0", "usr/bin/b\0"].into();
        let places: Vec<_> = names.iter().map(|name| text.match_indices(name).collect::<Vec<_>>()).collect();
        assert!(places.iter().all(|found| found.len() == 1), "{places:?}");
        assert!(places.is_sorted_by_key(|found| found[0].0), "{places:?}");
    }
}
