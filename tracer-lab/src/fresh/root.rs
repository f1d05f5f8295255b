//! A fresh machine: a directory with a Debian in it, entered by chroot in mounts and processes of its own.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::archive::Archive;
use crate::testbed::process;
use crate::workspace;

/// Who tries the README's commands.
pub(crate) const USER: &str = "dev";

/// What whoever has a clone has.
const PACKAGES: &str = "ca-certificates,git";
/// What the README asks for.
const COMPILER: &str = "apt-get update -qq && apt-get install -qq -y build-essential";

/// Mounts what a machine has and makes the directory the root of all mounts: in a mere chroot no user namespace can be
/// made, and none of mounts left. All of it ends with the processes in it.
const ENTER: &str = r#"
set -e
root=$1 user=$2 home=$3 script=$4 server=$5
mount --bind "$root" "$root"
cd "$root"
mount --rbind /sys sys
mount --rbind /dev dev
mount -t proc proc proc
mount -t tmpfs tmpfs run
mkdir run/outside
pivot_root . run/outside
cd /
umount --lazy /run/outside
rmdir /run/outside
exec chroot --userspec="$user" / /usr/bin/env -i HOME="$home" USER="$user" LANG=C.UTF-8 \
    PATH="$home/.cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
    RUSTUP_HOME=/home/dev/.rustup $server sh -c "cd /home/dev/tracer && $script"
"#;

/// Where nobody answers.
const NO_SERVER: &str = "RUSTUP_DIST_SERVER=http://127.0.0.1:9";

/// What kind of machine it is.
pub(crate) struct Options {
    /// [`USER`] may become root.
    pub(crate) sudo: bool,
    /// rustup reaches its server, if this machine's does.
    pub(crate) rustup_server: bool,
    /// It is not deleted.
    pub(crate) keep: bool,
}

/// The machine; deleted when dropped, unless it is to be kept.
pub(crate) struct Root {
    directory: PathBuf,
    rustup_server: bool,
    keep: bool,
}

impl Root {
    /// Bootstraps `suite` in `directory`, with rustup's default toolchain and a clone of HEAD in the home of [`USER`].
    pub(crate) fn make(suite: &str, directory: &Path, options: &Options) -> Result<Self> {
        let &Options { sudo, rustup_server, keep } = options;
        remove(directory)?;
        fs::create_dir_all(directory)?;
        // Chroot and mount want a path from the root.
        let root = Self { directory: fs::canonicalize(directory)?, rustup_server, keep };
        root.bootstrap(suite, sudo)?;
        root.take_certificates()?;
        root.outside("useradd --create-home --shell /bin/bash dev")?;
        if sudo {
            fs::write(root.directory.join("etc/sudoers.d/dev"), "dev ALL=(ALL:ALL) NOPASSWD: ALL\n")?;
        }
        root.take_toolchain()?;
        root.clone_head()?;
        root.outside("chown -R dev:dev /home/dev && git config --system safe.directory '*'")?;
        Ok(root)
    }

    /// Where it is.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// A command that runs the shell's `script` in the clone as `user`.
    pub(crate) fn enter(&self, user: &str, script: &str) -> Command {
        let home = if user == USER { "/home/dev" } else { "/root" };
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER, "sh"]);
        let server = if self.rustup_server { "" } else { NO_SERVER };
        command.arg(&self.directory).args([user, home, script, server]);
        command
    }

    /// Installs the compiler that the README asks for; CI has to get one by itself.
    pub(crate) fn install_compiler(&self) -> Result<()> {
        process::run_quietly(&mut self.enter("root", COMPILER))
    }

    fn bootstrap(&self, suite: &str, sudo: bool) -> Result<()> {
        let archive = Archive::of_this_machine()?;
        let packages = if sudo { format!("{PACKAGES},sudo") } else { PACKAGES.to_owned() };
        let mut debootstrap = Command::new("debootstrap");
        debootstrap.args(["--variant=minbase", &format!("--include={packages}"), suite]);
        process::run_quietly(debootstrap.arg(&self.directory).arg(&archive.mirror))?;
        let mut sources = format!("deb {0} {suite} main\ndeb {0} {suite}-updates main\n", archive.mirror);
        if let Some(security) = &archive.security {
            let _ = writeln!(sources, "deb {security} {suite}-security main");
        }
        fs::write(self.directory.join("etc/apt/sources.list"), sources)?;
        for file in ["etc/resolv.conf", "etc/hosts"] {
            fs::copy(Path::new("/").join(file), self.directory.join(file))?;
        }
        Ok(())
    }

    /// Without the certificates that this machine trusts besides Debian's, its network may be closed.
    fn take_certificates(&self) -> Result<()> {
        let local = Path::new("usr/local/share/ca-certificates");
        let Ok(certificates) = Path::new("/").join(local).read_dir() else { return Ok(()) };
        for certificate in certificates {
            let certificate = certificate?;
            fs::copy(certificate.path(), self.directory.join(local).join(certificate.file_name()))?;
        }
        self.outside("update-ca-certificates")
    }

    /// rustup with its default toolchain as it was installed, and no cache of cargo's.
    fn take_toolchain(&self) -> Result<()> {
        let home = env::home_dir().context("there is no home directory")?;
        let of =
            |variable, below: &str| env::var_os(variable).map_or_else(|| home.join(below), PathBuf::from);
        let (cargo, rustup) = (of("CARGO_HOME", ".cargo"), of("RUSTUP_HOME", ".rustup"));
        let into = self.directory.join("home/dev/.cargo/bin");
        fs::create_dir_all(&into)?;
        copy(&cargo.join("bin/rustup"), &into)?;
        for proxy in ["cargo", "rustc", "rustdoc", "rustfmt", "cargo-fmt", "cargo-clippy", "clippy-driver"] {
            std::os::unix::fs::symlink("rustup", into.join(proxy))?;
        }
        // Root has the same.
        fs::create_dir_all(self.directory.join("root/.cargo"))?;
        copy(&into, &self.directory.join("root/.cargo"))?;
        let words =
            process::output(Command::new("rustc").args(["--print", "sysroot"]).env_remove("LD_LIBRARY_PATH"));
        let toolchain = PathBuf::from(words.context("rustc does not say where it is")?.trim());
        let into = self.directory.join("home/dev/.rustup");
        fs::create_dir_all(into.join("toolchains"))?;
        copy(&rustup.join("settings.toml"), &into)?;
        copy(&toolchain, &into.join("toolchains"))
    }

    fn clone_head(&self) -> Result<()> {
        let mut clone = Command::new("git");
        clone.args(["clone", "--quiet", "--no-hardlinks"]).arg(workspace::root());
        process::run_quietly(clone.arg(self.directory.join("home/dev/tracer")))
    }

    /// Runs the shell's `script` as root, before anything is mounted.
    fn outside(&self, script: &str) -> Result<()> {
        process::run_quietly(Command::new("chroot").arg(&self.directory).args(["/bin/sh", "-c", script]))
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if !self.keep
            && let Err(error) = remove(&self.directory)
        {
            eprintln!("lab: {} is left behind: {error:#}", self.directory.display());
        }
    }
}

fn copy(from: &Path, into: &Path) -> Result<()> {
    process::run(Command::new("cp").arg("-a").arg(from).arg(into))
}

fn remove(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory).with_context(|| format!("cannot remove {}", directory.display()))?;
    }
    Ok(())
}
