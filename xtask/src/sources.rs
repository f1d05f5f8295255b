//! The fingerprint of the sources of the eBPF object.
//!
//! xtask writes it next to the object, and `tracer/build.rs` (which includes this file) compares it with the sources it
//! finds, so that the daemon never carries an object of other sources. Times of files cannot tell: git sets them in any
//! order.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What the eBPF object is built from, relative to the root of the repository.
pub const SOURCES: [&str; 5] = [
    "tracer-ebpf/Cargo.toml",
    "tracer-ebpf/Cargo.lock",
    "tracer-ebpf/src",
    "tracer-common/Cargo.toml",
    "tracer-common/src",
];

/// The eBPF object, relative to the root of the repository.
pub const OBJECT: &str = "target/bpf/tracer-ebpf.o";

/// Holds the fingerprint of the sources that [`OBJECT`] was built from.
pub const STAMP: &str = "target/bpf/tracer-ebpf.sources";

/// The fingerprint of the names and contents of all [`SOURCES`] under `root`.
pub fn fingerprint(root: &Path) -> io::Result<String> {
    let mut hash = FNV_OFFSET;
    for source in SOURCES {
        for file in files(&root.join(source))? {
            let name = file.strip_prefix(root).unwrap_or(&file);
            hash = fnv1a(hash, name.as_os_str().as_encoded_bytes());
            hash = fnv1a(hash, &fs::read(&file)?);
        }
    }
    Ok(format!("{hash:016x}"))
}

/// The files at or below `path`, in an order that does not depend on the file system.
fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut entries =
        fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    let nested = entries.iter().map(|entry| files(entry)).collect::<io::Result<Vec<_>>>()?;
    Ok(nested.concat())
}

/// The 64-bit FNV-1a hash (draft-eastlake-fnv): a few lines, and the same whatever compiler built us, unlike the
/// standard hasher.
fn fnv1a(start: u64, bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(start, step)
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv1a_gives_the_published_values() {
        assert_eq!(fnv1a(FNV_OFFSET, b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(FNV_OFFSET, b"foobar"), 0x8594_4171_f739_67e8);
    }
}
