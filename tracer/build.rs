//! Tells the daemon where its eBPF object is, and which revision it is of.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

// Shared with xtask, which builds the object, so that both mean the same by "its sources".
#[path = "../xtask/src/sources.rs"]
pub mod sources;

/// What the daemon is built from besides its eBPF object, relative to the root of the repository.
const DAEMON: [&str; 5] = ["Cargo.toml", "Cargo.lock", "tracer/Cargo.toml", "tracer/build.rs", "tracer/src"];

fn main() {
    // Asked when run, not when compiled: clones that share a target directory share this program.
    let package = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
    let root = package.join("..");
    match object(&root) {
        Ok(object) => println!("cargo::rustc-env=TRACER_EBPF_OBJECT={}", object.display()),
        Err(sentence) => println!("cargo::error={sentence}"),
    }
    let (version, revision) = (env::var("CARGO_PKG_VERSION").unwrap_or_default(), revision(&root));
    let in_full = revision.as_ref().map_or(version.clone(), |revision| format!("{version} ({revision})"));
    println!("cargo::rustc-env=TRACER_REVISION={}", revision.as_deref().unwrap_or("unknown"));
    println!("cargo::rustc-env=TRACER_VERSION={in_full}");
}

/// The eBPF object: the one that is asked for, or the one that `cargo xtask build` made of these very sources.
fn object(root: &Path) -> Result<PathBuf, String> {
    println!("cargo::rerun-if-env-changed=TRACER_EBPF_OBJECT");
    if let Some(chosen) = env::var_os("TRACER_EBPF_OBJECT").map(PathBuf::from) {
        println!("cargo::rerun-if-changed={}", chosen.display());
        let absolute = fs::canonicalize(&chosen);
        return absolute.map_err(|why| format!("TRACER_EBPF_OBJECT names {}: {why}", chosen.display()));
    }
    for path in sources::SOURCES.into_iter().chain([sources::OBJECT, sources::STAMP]) {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }
    let unreadable = |why: io::Error| format!("cannot read the sources of the eBPF object: {why}");
    let expected = sources::fingerprint(root).map_err(unreadable)?;
    let built = fs::read_to_string(root.join(sources::STAMP)).unwrap_or_default();
    match fs::canonicalize(root.join(sources::OBJECT)) {
        Ok(object) if built == expected => Ok(object),
        Ok(_) => Err("the eBPF object is older than its sources: run `cargo xtask build`".into()),
        Err(_) => Err("the eBPF object is not built yet: run `cargo xtask build`".into()),
    }
}

/// The commit, abbreviated, with `-dirty` where the daemon's sources differ from it; nothing outside a git clone.
fn revision(root: &Path) -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .arg("--no-optional-locks")
            .arg("-C")
            .arg(root)
            .args(arguments)
            .output()
            .ok()?;
        let line = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        output.status.success().then_some(line)
    };
    // A tarball may be unpacked in the clone of something else.
    if !git(&["rev-parse", "--show-prefix"])?.is_empty() {
        return None;
    }
    // Checkouts and commits of this worktree write both. A path that does not exist would make cargo run this every
    // time.
    let moves = ["HEAD", "logs/HEAD"].into_iter().filter_map(|name| git(&["rev-parse", "--git-path", name]));
    let sources = [&DAEMON[..], &sources::SOURCES].concat();
    let watched = moves.chain(sources.iter().map(|&source| source.to_owned())).map(|path| root.join(path));
    for path in watched.filter(|path| path.exists()) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    let commit = git(&["rev-parse", "--short=7", "HEAD"])?;
    let clean = git(&[&["diff", "--quiet", "HEAD", "--"][..], &sources].concat()).is_some();
    Some(if clean { commit } else { format!("{commit}-dirty") })
}
