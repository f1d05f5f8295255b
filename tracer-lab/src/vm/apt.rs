//! Packages of other Debian suites, by apt with lists and settings of its own. Apt checks the archive's signatures as
//! ever.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::archive::Archive;
use crate::testbed::process;

/// The keys by which every suite is signed, of the package debian-archive-keyring.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// What differs from the machine's settings.
const SETTINGS: &str = r#"
Dir::Etc::sourcelist "HERE/suite.sources";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "HERE/lists";
Dir::Cache "HERE/cache";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
// The user that apt would become for downloads has no business in our directories.
APT::Sandbox::User "root";
// What the machine does after an update of its own lists, such as emptying its cache.
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
"#;

/// One suite's main packages.
pub(crate) struct Suite {
    /// Everything that apt reads and writes for it.
    directory: PathBuf,
}

impl Suite {
    /// Fetches the lists of the suite `name`.
    pub(crate) fn open(name: &str, directory: &Path) -> Result<Self> {
        let archive = Archive::of_this_machine()?;
        let suite = Self { directory: directory.to_owned() };
        let prepare = || {
            for below in ["lists/partial", "cache/archives/partial", "packages"] {
                fs::create_dir_all(directory.join(below))?;
            }
            // What this machine has installed is of no interest.
            fs::write(directory.join("status"), "")
        };
        prepare().with_context(|| format!("cannot write below {}", directory.display()))?;
        let sources = format!(
            "Types: deb\nURIs: {}\nSuites: {name}\nComponents: main\nSigned-By: {KEYRING}\n",
            archive.mirror
        );
        fs::write(directory.join("suite.sources"), sources)?;
        // Apt takes relative paths for its own.
        let here = std::path::absolute(directory)?;
        fs::write(suite.settings(), SETTINGS.replace("HERE", &here.display().to_string()))?;
        process::run_quietly(suite.isolated("apt-get").args(["update", "-qq"]))?;
        Ok(suite)
    }

    /// `package` and all packages that it depends on in one exact version: the parts of what is one thing.
    pub(crate) fn with_parts(&self, package: &str) -> Result<Vec<String>> {
        let mut packages = vec![package.to_owned()];
        let mut described = 0;
        while let Some(package) = packages.get(described) {
            let description = process::output(self.isolated("apt-cache").args(["show", package]))
                .with_context(|| format!("no package {package}"))?;
            for part in parts(&description) {
                if !packages.contains(&part) {
                    packages.push(part);
                }
            }
            described += 1;
        }
        Ok(packages)
    }

    /// Downloads `packages` and returns the files.
    pub(crate) fn download(&self, packages: &[String]) -> Result<Vec<PathBuf>> {
        let into = self.directory.join("packages");
        for old in into.read_dir()? {
            fs::remove_file(old?.path())?;
        }
        process::run_quietly(
            self.isolated("apt-get").args(["download", "-qq"]).args(packages).current_dir(&into),
        )?;
        let files = into.read_dir()?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        ensure!(!files.is_empty(), "apt-get download brought nothing");
        Ok(files)
    }

    /// A command of apt that knows nothing but this suite, not even what this machine has installed.
    fn isolated(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("-c").arg(self.settings());
        command.arg("-o").arg(format!("Dir::State::status={}", self.directory.join("status").display()));
        command
    }

    fn settings(&self) -> PathBuf {
        self.directory.join("apt.conf")
    }
}

/// What a package depends on in one exact version.
fn parts(description: &str) -> Vec<String> {
    let depends = description.lines().filter_map(|line| line.strip_prefix("Depends: "));
    let exact = |dependency: &str| {
        let (name, version) = dependency.trim().split_once(' ')?;
        version.starts_with("(= ").then(|| name.to_owned())
    };
    depends.flat_map(|names| names.split(',')).filter_map(exact).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_versions_are_parts() {
        let description = "Package: linux-image-7\nDepends: dracut | initramfs-tools (>= 0.120), linux-base (>= 4.3~), \
                           linux-binary-7 (= 7.2-1), linux-modules-7 (= 7.2-1), kmod\nDescription: Depends: x (= 1)\n";
        assert_eq!(parts(description), ["linux-binary-7", "linux-modules-7"]);
    }
}
