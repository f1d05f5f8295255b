//! Where this machine gets its Debian packages from. xtask, which installs them, includes this file.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

/// Where this machine gets its Debian packages from.
pub struct Archive {
    /// Of the main archive.
    pub mirror: String,
    /// The same for security updates, if it has them.
    pub security: Option<String>,
    /// The suite of the machine itself.
    pub suite: String,
}

impl Archive {
    /// As apt knows it.
    pub fn of_this_machine() -> Result<Self> {
        let format = "$(ORIGIN)|$(LABEL)|$(CODENAME)|$(REPO_URI)";
        let mut command = Command::new("apt-get");
        command.args(["indextargets", "--format", format, "Created-By: Packages"]);
        let targets = command.stdin(Stdio::null()).output().context("cannot run apt-get")?;
        Self::among(&String::from_utf8_lossy(&targets.stdout))
            .context("apt has no lists of Debian's archive here: run `apt-get update`")
    }

    /// Security and backports have labels of their own, updates a name behind a hyphen.
    fn among(targets: &str) -> Option<Self> {
        let of = |label: &str| targets.lines().find_map(|line| line.strip_prefix(label)?.split_once('|'));
        let (suite, mirror) = of("Debian|Debian|")?;
        let (suite, _) = suite.split_once('-').unwrap_or((suite, ""));
        let security = of("Debian|Debian-Security|").map(|(_, mirror)| mirror.to_owned());
        Some(Self { mirror: mirror.to_owned(), security, suite: suite.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_the_main_archives() {
        let targets = "Other|Other|bookworm|http://other/\nDebian|Debian-Security|bookworm-security|http://security/\n\
                       Debian|Debian Backports|bookworm-backports|http://mirror/\n\
                       Debian|Debian|bookworm-updates|http://mirror/debian/\n";
        let archive = Archive::among(targets).unwrap();
        assert_eq!((archive.suite.as_str(), archive.mirror.as_str()), ("bookworm", "http://mirror/debian/"));
        assert_eq!(archive.security.as_deref(), Some("http://security/"));
        assert!(Archive::among("").is_none());
    }
}
