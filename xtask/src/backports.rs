//! Packages of the backports of this machine's suite: where some of a source are from there already, others must be as
//! well.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::archive::Archive;
use crate::debian::{self, Needed};

/// The keys by which every suite is signed, of the package debian-archive-keyring.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Installs `packages` of the machine's suite or its backports, by lists of its own in `directory`.
pub(crate) fn install(packages: &[Needed], directory: &Path) -> Result<()> {
    let Archive { mirror, suite, .. } = Archive::of_this_machine()?;
    let sources = directory.join("backports.sources");
    let write = || {
        fs::create_dir_all(directory.join("lists/partial"))?;
        let suites = format!("{suite} {suite}-updates {suite}-backports");
        let source =
            format!("Types: deb\nURIs: {mirror}\nSuites: {suites}\nComponents: main\nSigned-By: {KEYRING}\n");
        fs::write(&sources, source)
    };
    write().with_context(|| format!("cannot write below {}", directory.display()))?;
    let lists = [
        format!("Dir::Etc::sourcelist={}", sources.display()),
        "Dir::Etc::sourceparts=/dev/null".to_owned(),
        format!("Dir::State::lists={}", directory.join("lists").display()),
    ];
    let mut options: Vec<_> = lists.into_iter().flat_map(|option| ["-o".to_owned(), option]).collect();
    debian::update_with(&options)?;
    options.extend(["-t".to_owned(), format!("{suite}-backports")]);
    debian::install_with(&options, packages)
}
