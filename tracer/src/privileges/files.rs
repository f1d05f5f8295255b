//! Landlock: of all files only those can be opened, and only to be read, that the daemon still reads.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};
use log::info;

/// The rights that this program knows of; a kernel restricts those of them that it knows, too (6.15 and later: all).
const KNOWN: ABI = ABI::V7;

/// What is still opened: the numbers of this process, and that of CPUs, by which maps are read.
const READ: [&str; 2] = ["/proc/self", "/sys/devices/system/cpu/possible"];

/// Forbids everything but these and files in the directories of `readable`: other files, new connections and ports,
/// other processes.
pub(super) fn restrict(readable: &BTreeSet<PathBuf>) -> Result<()> {
    let status = restriction(readable).context("cannot restrict which files can be opened")?;
    if status == RulesetStatus::NotEnforced {
        info!("without Landlock in this kernel, files that the daemon's user may read stay readable to it");
    }
    Ok(())
}

fn restriction(readable: &BTreeSet<PathBuf>) -> Result<RulesetStatus, RulesetError> {
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::from_all(KNOWN))?
        .scope(Scope::from_all(KNOWN))?
        .create()?;
    // One that is not there need not be allowed.
    for path in READ {
        let Ok(opened) = PathFd::new(path) else { continue };
        rules = rules.add_rule(PathBeneath::new(opened, rights(Path::new(path))))?;
    }
    for directory in readable {
        let Ok(opened) = PathFd::new(directory) else { continue };
        rules = rules.add_rule(PathBeneath::new(opened, AccessFs::ReadFile))?;
    }
    Ok(rules.restrict_self()?.ruleset)
}

fn rights(path: &Path) -> BitFlags<AccessFs> {
    if path.is_dir() { AccessFs::ReadFile | AccessFs::ReadDir } else { AccessFs::ReadFile.into() }
}
