//! bpf-linker, built for the LLVM of one compiler and kept apart from the developer's own.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process;
use crate::toolchain::Toolchain;
use crate::workspace;

/// Newer ones may need a newer LLVM: see [`crate::toolchain::LLVM_SUPPORTED`].
const VERSION: &str = "0.13.0";

/// A bpf-linker that reads what `toolchain` writes, built now if it never was.
pub(crate) fn ensure(toolchain: &Toolchain) -> Result<PathBuf> {
    let home = home(toolchain)?;
    let linker = home.join("bin/bpf-linker");
    // It does not start when the LLVM it was built with is gone.
    if process::output(Command::new(&linker).arg("--version").env_remove("LD_LIBRARY_PATH")).is_some() {
        return Ok(linker);
    }
    process::step(&format!(
        "building bpf-linker {VERSION} with LLVM {} into {}: about a minute, once",
        toolchain.llvm,
        home.display()
    ));
    link_llvm(&toolchain.libllvm, &home.join("lib"))?;
    let mut install = workspace::cargo();
    install
        .args(["install", "bpf-linker", "--version", VERSION, "--locked", "--force"])
        .args(["--no-default-features", "--features", &format!("llvm-{}", toolchain.llvm)])
        .arg("--root")
        .arg(&home)
        .env("LLVM_PREFIX", &home)
        // Else cargo asks for that, and nobody but us runs it.
        .env("PATH", with_path(&home.join("bin"))?);
    process::run_quietly(&mut install)?;
    ensure!(linker.exists(), "cargo install did not make {}", linker.display());
    Ok(linker)
}

/// The directories in which programs are found, and `bin`.
fn with_path(bin: &Path) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let all = env::split_paths(&path).chain([bin.to_owned()]);
    env::join_paths(all).context("a directory of cargo's home has a colon in its name")
}

/// One directory for each LLVM library, so that compilers do not share a linker by mistake; under cargo's home, so that
/// clones do.
fn home(toolchain: &Toolchain) -> Result<PathBuf> {
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".cargo")))
        .context("there is no home directory to install bpf-linker in: set CARGO_HOME")?;
    let llvm = toolchain.libllvm.file_name().context("the LLVM library has no name")?;
    Ok(cargo_home.join("bpf-linker").join(format!("{VERSION}-{}", llvm.display())))
}

/// Gives the compiler's LLVM library the name the linker looks for when it builds, beside the one it looks for when it
/// starts. This is all that bpf-linker needs of an LLVM installation, and it needs no `-dev` package.
fn link_llvm(libllvm: &Path, lib: &Path) -> Result<()> {
    fs::create_dir_all(lib).with_context(|| format!("cannot create {}", lib.display()))?;
    let own_name = libllvm.file_name().context("the LLVM library has no name")?;
    for name in ["libLLVM.so".as_ref(), own_name] {
        let link = lib.join(name);
        let _ = fs::remove_file(&link);
        symlink(libllvm, &link).with_context(|| format!("cannot create {}", link.display()))?;
    }
    Ok(())
}
