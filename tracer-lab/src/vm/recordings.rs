//! Recordings that a guest made: they leave it through a serial port of their own, as a compressed archive.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// Where the guest's lab writes them; init.sh packs this directory.
pub(crate) const IN_GUEST: &str = "/tmp/recordings";

/// Where the emulator leaves the archive, of a guest whose logs are in `logs`.
pub(crate) fn brought_to(logs: &Path) -> PathBuf {
    logs.join("recordings")
}

/// Unpacks `archive` into the directory `into`. One that was cut short is an error, after all whole files in it.
pub(crate) fn unpack(archive: &Path, into: &Path) -> Result<()> {
    ensure!(fs::metadata(archive)?.len() > 0, "the guest handed over no recordings");
    fs::create_dir_all(into).with_context(|| format!("cannot make {}", into.display()))?;
    let mut tar = Command::new("tar");
    tar.arg("-xz").arg("--no-same-owner").arg("-f").arg(archive).arg("-C").arg(into);
    let output = tar.output().context("cannot start tar")?;
    let complaint = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    ensure!(output.status.success(), "the guest's recordings are incomplete: {complaint}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::testbed::process;

    /// An archive as init.sh makes it, with one recording of 100,000 bytes that cannot be compressed.
    fn archive(directory: &Path) -> (PathBuf, Vec<u8>) {
        let recording: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(100_000).collect();
        let (packed, archive) = (directory.join("packed"), directory.join("archive"));
        fs::create_dir_all(packed.join("6.1")).unwrap();
        fs::write(packed.join("6.1/one.rec"), &recording).unwrap();
        let mut tar = Command::new("tar");
        process::run(tar.arg("-czf").arg(&archive).arg("-C").arg(&packed).arg(".")).unwrap();
        (archive, recording)
    }

    #[test]
    fn what_was_packed_in_the_guest_comes_out() {
        let directory = TempDir::new().unwrap();
        let (archive, recording) = archive(directory.path());
        let into = directory.path().join("new/fixtures");
        unpack(&archive, &into).unwrap();
        assert_eq!(fs::read(into.join("6.1/one.rec")).unwrap(), recording);
    }

    #[test]
    fn an_archive_that_is_empty_or_cut_short_is_an_error() {
        let directory = TempDir::new().unwrap();
        let (archive, _) = archive(directory.path());
        let whole = fs::read(&archive).unwrap();
        for (length, why) in [(0, "handed over no recordings"), (whole.len() / 2, "Unexpected EOF")] {
            fs::write(&archive, &whole[..length]).unwrap();
            let error = format!("{:#}", unpack(&archive, &directory.path().join("out")).unwrap_err());
            assert!(error.contains(why), "{error}");
        }
    }
}
