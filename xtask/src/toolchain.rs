//! Finding a Rust compiler that can build for BPF.
//!
//! `bpfel-unknown-none` has no prebuilt `core`, so the compiler must come with the source of the standard library. What
//! it makes is LLVM bitcode, which only the same LLVM reads reliably: bpf-linker is linked to the very library the
//! compiler uses.

use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process;

/// The LLVM versions that the bpf-linker we install can be built with.
pub(crate) const LLVM_SUPPORTED: RangeInclusive<u32> = 21..=23;

/// A Rust compiler that can build for BPF.
#[derive(Debug)]
pub struct Toolchain {
    /// The directory that holds `bin/rustc` and `bin/cargo`.
    pub sysroot: PathBuf,
    /// As `rustc -vV` says it: `1.96.0`.
    pub release: String,
    /// The major version of its LLVM.
    pub llvm: u32,
    /// Its LLVM, as a shared library.
    pub libllvm: PathBuf,
}

impl Toolchain {
    /// A cargo that builds with this compiler, whichever one the developer's own cargo uses.
    #[must_use]
    pub fn cargo(&self) -> Command {
        let mut cargo = Command::new(self.sysroot.join("bin/cargo"));
        cargo
            .env("RUSTC", self.sysroot.join("bin/rustc"))
            // `-Z build-std` is refused by release compilers without this.
            .env("RUSTC_BOOTSTRAP", "1")
            .env_remove("RUSTUP_TOOLCHAIN")
            // `cargo run` points it at the libraries of the developer's own compiler.
            .env_remove("LD_LIBRARY_PATH");
        cargo
    }
}

/// The first that will do of: rustup's nightly, rustup's default, the system's. The error says what each one lacks.
pub(crate) fn find() -> Result<Toolchain> {
    let nightly = || inspect(&rustup_sysroot(&["--toolchain", "nightly"])?);
    let default = || inspect(&rustup_sysroot(&[])?);
    let system = || inspect(Path::new("/usr"));
    nightly().or_else(|no_nightly| {
        default().or_else(|no_default| {
            system().with_context(|| {
                format!("rustup's nightly: {no_nightly:#}; rustup's default: {no_default:#}; /usr")
            })
        })
    })
}

/// Has rustup add the source of the standard library to its nightly, else to its default toolchain, where that is all
/// they lack.
pub(crate) fn add_source() -> Result<Toolchain> {
    let nightly = || add_source_to(&["--toolchain", "nightly"]);
    let default = || add_source_to(&[]);
    nightly().or_else(|no_nightly| {
        default().with_context(|| format!("to its nightly: {no_nightly:#}; to its default toolchain"))
    })
}

fn add_source_to(which: &[&str]) -> Result<Toolchain> {
    let sysroot = rustup_sysroot(which)?;
    let rustup = process::find("rustup").context("no rustup")?;
    process::step(&format!("adding the source of Rust's library to {}", sysroot.display()));
    // `timeout`: its server may never answer.
    let mut add = Command::new("timeout");
    add.arg("120").arg(rustup).args(["component", "add", "rust-src"]).args(which);
    process::run_quietly(&mut add)?;
    inspect(&sysroot)
}

/// The toolchain in `sysroot`, or what it lacks.
pub(crate) fn inspect(sysroot: &Path) -> Result<Toolchain> {
    let rustc = sysroot.join("bin/rustc");
    ensure!(rustc.exists() && sysroot.join("bin/cargo").exists(), "no rustc and cargo");
    let core = sysroot.join("lib/rustlib/src/rust/library/core/Cargo.toml");
    ensure!(core.exists(), "no source of the standard library (rust-src)");
    let words = process::output(Command::new(&rustc).arg("-vV").env_remove("LD_LIBRARY_PATH"));
    let words = words.context("rustc does not run")?;
    let version = Version::parse(&words).context("rustc does not say its LLVM version")?;
    ensure!(
        LLVM_SUPPORTED.contains(&version.llvm),
        "LLVM {}, and bpf-linker knows {} to {}",
        version.llvm,
        LLVM_SUPPORTED.start(),
        LLVM_SUPPORTED.end()
    );
    let libllvm = library_dirs(sysroot, &version.host)
        .iter()
        .find_map(|dir| libllvm(dir, version.llvm))
        .with_context(|| format!("no shared library of LLVM {}", version.llvm))?;
    Ok(Toolchain { sysroot: sysroot.to_path_buf(), release: version.release, llvm: version.llvm, libllvm })
}

fn rustup_sysroot(which: &[&str]) -> Result<PathBuf> {
    let rustup = process::find("rustup").context("no rustup")?;
    let mut command = Command::new(rustup);
    // Only looking: rustup must not download a toolchain for it.
    command.args(["which", "rustc"]).args(which).env("RUSTUP_AUTO_INSTALL", "0");
    let rustc = process::output(&mut command).context("not installed")?;
    let sysroot = Path::new(rustc.trim()).ancestors().nth(2);
    Ok(sysroot.context("rustup gave no path")?.to_path_buf())
}

/// Where a compiler keeps its libraries: rustup, Debian (multiarch) and Fedora each have their own place.
fn library_dirs(sysroot: &Path, host: &str) -> [PathBuf; 3] {
    let multiarch = host.replace("-unknown-", "-");
    [sysroot.join("lib"), sysroot.join("lib").join(multiarch), sysroot.join("lib64")]
}

/// `libLLVM.so.22.1` on Debian, `libLLVM.so.22.1-rust-1.97.0-nightly` from rustup.
fn libllvm(dir: &Path, llvm: u32) -> Option<PathBuf> {
    let prefix = format!("libLLVM.so.{llvm}.");
    let mut found: Vec<_> = fs::read_dir(dir)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix)))
        .collect();
    found.sort();
    found.pop()
}

/// The lines of `rustc -vV` that matter here.
#[derive(Debug, PartialEq)]
struct Version {
    release: String,
    host: String,
    llvm: u32,
}

impl Version {
    fn parse(words: &str) -> Option<Self> {
        let field = |name: &str| words.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        Some(Self {
            release: field("release")?.to_owned(),
            host: field("host")?.to_owned(),
            llvm: field("LLVM version")?.split('.').next()?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)\nbinary: rustc\n\
        commit-hash: ac68faa20c58cbccd01ee7208bf3b6e93a7d7f96\ncommit-date: 2026-05-25\nhost: x86_64-unknown-linux-gnu\n\
        release: 1.96.0\nLLVM version: 22.1.8\n";

    #[test]
    fn the_words_of_rustc_are_understood() {
        let expected =
            Version { release: "1.96.0".into(), host: "x86_64-unknown-linux-gnu".into(), llvm: 22 };
        assert_eq!(Version::parse(DEBIAN), Some(expected));
    }

    #[test]
    fn a_compiler_without_llvm_is_not_one_of_ours() {
        let check = |from, to| assert_eq!(Version::parse(&DEBIAN.replace(from, to)), None);
        check("LLVM version: 22.1.8\n", "");
        check("22.1.8", "unknown");
        check(DEBIAN, "");
    }

    #[test]
    fn the_shared_llvm_is_found_by_its_major_version() {
        let dir = std::env::temp_dir().join(format!("xtask-libllvm-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        for name in ["libLLVM.so.2.0", "libLLVM.so.22.1-rust-1.97.0-nightly", "libLLVM-22.so"] {
            fs::write(dir.join(name), "").unwrap();
        }
        assert_eq!(libllvm(&dir, 22), Some(dir.join("libLLVM.so.22.1-rust-1.97.0-nightly")));
        assert_eq!(libllvm(&dir, 23), None);
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn what_a_toolchain_lacks_is_said() {
        let error = inspect(Path::new("/nonexistent")).unwrap_err();
        assert_eq!(error.to_string(), "no rustc and cargo");
    }
}
