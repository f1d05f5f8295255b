//! Building the kernel side.

use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use object::build::elf::{Builder, SectionData};
use object::elf::SHT_STRTAB;

use crate::{process, setup, sources, workspace};

/// Builds the eBPF object, and puts it where `tracer/build.rs` looks for it.
pub(crate) fn build() -> Result<()> {
    let (toolchain, linker) = setup::build()?;
    process::step(&format!(
        "building the eBPF object (rustc {}, LLVM {})",
        toolchain.release, toolchain.llvm
    ));
    // Taken before the build: an edit during it must not pass for built.
    let fingerprint =
        sources::fingerprint(&workspace::root()).context("cannot read the sources of the eBPF object")?;
    let target_dir = workspace::target_dir().join("bpf-build");
    let mut cargo = toolchain.cargo();
    cargo
        .current_dir(source())
        .args(["build", "--release", "--locked", "--target", "bpfel-unknown-none", "-Zbuild-std=core"])
        .arg("--target-dir")
        .arg(&target_dir);
    let linker = format!("-Clinker={}", linker.display());
    // BTF is made from the debug information.
    rustflags(&mut cargo, &["-Cdebuginfo=2", "-Clink-arg=--btf", &linker]);
    process::run(&mut cargo)?;
    let built = target_dir.join("bpfel-unknown-none/release/tracer-ebpf");
    let object = fs::read(&built).with_context(|| format!("cargo did not make {}", built.display()))?;
    publish(sources::OBJECT, &without_debug_information(&object)?)?;
    publish(sources::STAMP, fingerprint.as_bytes())
}

/// The crate of the kernel side, which is a workspace of its own.
#[must_use]
pub(crate) fn source() -> PathBuf {
    workspace::root().join("tracer-ebpf")
}

/// Runs clippy on the kernel side, as code for this machine: the compilers that know BPF come without clippy.
pub(crate) fn clippy() -> Result<()> {
    let mut cargo = workspace::cargo();
    cargo
        .current_dir(source())
        .args(["clippy", "--locked", "--bins", "--target-dir"])
        .arg(workspace::target_dir().join("bpf-clippy"));
    rustflags(&mut cargo, &[]);
    process::run(cargo.args(["--", "-D", "warnings"]))
}

/// The flags that every compilation of the kernel side needs, and `more`. Set this way they outrank a developer's own
/// `RUSTFLAGS`.
fn rustflags(cargo: &mut Command, more: &[&str]) {
    // Which registers hold a probe's arguments depends on the machine whose kernel is traced.
    let arch = format!("--cfg=bpf_target_arch=\"{ARCH}\"");
    let flags = [&[arch.as_str()], more].concat();
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
}

/// The object as the daemon needs it. BTF was made from the debug information; from here on that only takes room, in
/// the daemon's file and in its memory.
fn without_debug_information(object: &[u8]) -> Result<Vec<u8>> {
    let mut builder = Builder::read(object).context("bpf-linker made no ELF file")?;
    for section in &mut builder.sections {
        let name = section.name.to_string();
        section.delete = [".debug_", ".rel.debug_"].iter().any(|debug| name.starts_with(debug));
    }
    builder.delete_orphans();
    // LLVM keeps the names of sections among those of symbols; here they have a place of their own.
    let names = builder.sections.add();
    names.name = b".shstrtab".as_slice().into();
    names.sh_type = SHT_STRTAB;
    names.data = SectionData::SectionString;
    let mut stripped = Vec::new();
    builder.write(&mut stripped).context("the eBPF object cannot be written without debug information")?;
    Ok(stripped)
}

/// Writes a file of the repository in one step, and only when it changes, so that the daemon is rebuilt only then.
fn publish(path: &str, content: &[u8]) -> Result<()> {
    let path = workspace::root().join(path);
    if fs::read(&path).is_ok_and(|present| present == content) {
        return Ok(());
    }
    let write = || {
        let unfinished = path.with_extension("new");
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        fs::write(&unfinished, content)?;
        fs::rename(&unfinished, &path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
