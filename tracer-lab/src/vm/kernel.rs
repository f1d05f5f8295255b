//! A kernel: where its image and its modules are, and how to come by it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::testbed::process;
use crate::vm::apt::Suite;

/// The kernels that a run without arguments boots: their series and the Debian suite that has them.
const USUAL: [(&str, &str); 4] =
    [("5.10", "bullseye"), ("6.1", "bookworm"), ("6.12", "trixie"), ("7", "forky")];
/// Known as well.
const MORE: [(&str, &str); 1] = [("newest", "sid")];
/// Debian's smallest kernels, which have all that a virtual machine needs.
const PACKAGE: &str = "linux-image-cloud-amd64";

/// An unpacked kernel.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kernel {
    /// What `uname -r` says under it.
    pub(crate) release: String,
    pub(crate) image: PathBuf,
    pub(crate) modules: PathBuf,
}

/// The names of the kernels that a run without arguments boots.
pub(crate) fn usual() -> Vec<String> {
    USUAL.map(|(series, _)| series.to_owned()).to_vec()
}

impl Kernel {
    /// The kernel of this name or path. What is fetched is kept under `directory`, and fetched again only for an
    /// `update`.
    pub(crate) fn get(name: &str, directory: &Path, update: bool) -> Result<Self> {
        if let Some(suite) = suite(name) {
            let tree = directory.join("kernels").join(suite);
            if update || !tree.exists() {
                fetch(suite, directory, &tree).with_context(|| format!("no kernel of Debian {suite}"))?;
            }
            return Self::in_tree(&tree);
        }
        let path = Path::new(name);
        if path.is_dir() {
            return Self::in_tree(path);
        }
        let (Some(stem), true) = (path.file_stem(), path.is_file()) else {
            bail!(
                "no kernel {name}: give a version or suite (see --help), a .deb, or a directory with an unpacked kernel"
            );
        };
        let tree = directory.join("kernels").join(stem);
        unpack(&[path.to_owned()], &tree)?;
        Self::in_tree(&tree)
    }

    /// The kernel that was unpacked in `tree`, in the layout of Debian's packages.
    fn in_tree(tree: &Path) -> Result<Self> {
        for modules in ["lib/modules", "usr/lib/modules"] {
            for entry in tree.join(modules).read_dir().into_iter().flatten() {
                let modules = entry?.path();
                let Some(release) = modules.file_name().and_then(|name| name.to_str()).map(str::to_owned)
                else {
                    continue;
                };
                // Beside its modules since Debian 14.
                let images = [tree.join("boot").join(format!("vmlinuz-{release}")), modules.join("vmlinuz")];
                if let Some(image) = images.into_iter().find(|image| image.is_file()) {
                    return Ok(Self { release, image, modules });
                }
            }
        }
        bail!("{} holds no kernel image with its modules", tree.display());
    }
}

/// The suite that `name` stands for.
fn suite(name: &str) -> Option<&'static str> {
    let known = USUAL.into_iter().chain(MORE);
    known.into_iter().find(|(series, suite)| [*series, *suite].contains(&name)).map(|(_, suite)| suite)
}

/// Downloads the suite's kernel, whose parts may be several packages, and unpacks it to `tree`.
fn fetch(name: &str, directory: &Path, tree: &Path) -> Result<()> {
    process::step(&format!("fetching the kernel of Debian {name}"));
    let suite = Suite::open(name, &directory.join("apt").join(name))?;
    let packages = suite.download(&suite.with_parts(PACKAGE)?)?;
    unpack(&packages, tree)
}

/// Unpacks `packages` to `tree`, which is there only when it is complete.
fn unpack(packages: &[PathBuf], tree: &Path) -> Result<()> {
    let unfinished = tree.with_extension("new");
    for path in [tree, &unfinished] {
        if path.exists() {
            fs::remove_dir_all(path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    fs::create_dir_all(&unfinished).with_context(|| format!("cannot make {}", unfinished.display()))?;
    for package in packages {
        process::run_quietly(Command::new("dpkg-deb").arg("--extract").args([package, &unfinished]))?;
    }
    fs::rename(&unfinished, tree).with_context(|| format!("cannot make {}", tree.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_known_by_series_and_by_suite() {
        assert_eq!(suite("5.10"), Some("bullseye"));
        assert_eq!(suite("trixie"), Some("trixie"));
        assert_eq!(suite("sid"), Some("sid"));
        assert_eq!(suite("linux.deb"), None);
    }

    #[track_caller]
    fn check(files: [&str; 2], image: &str) {
        let tree = tempfile::TempDir::new().unwrap();
        for file in files {
            let path = tree.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let kernel = Kernel::in_tree(tree.path()).unwrap();
        assert_eq!((kernel.release.as_str(), kernel.image), ("6.1.0-9", tree.path().join(image)));
    }

    #[test]
    fn both_layouts_are_found() {
        check(["boot/vmlinuz-6.1.0-9", "lib/modules/6.1.0-9/modules.builtin"], "boot/vmlinuz-6.1.0-9");
        let new = "usr/lib/modules/6.1.0-9/vmlinuz";
        check([new, "usr/lib/modules/6.1.0-9/modules.builtin"], new);
    }
}
