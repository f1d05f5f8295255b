//! Debian packages: installing what is missing, after saying what, how large, and why.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{privilege, process};

/// Something that must be here: a program, the Debian package it comes in, and what it is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Needed {
    /// How `PATH` knows it, or where a file of a library is.
    pub program: &'static str,
    /// What brings it.
    pub package: &'static str,
    /// For the person whose machine it is installed on.
    pub purpose: &'static str,
}

impl Needed {
    /// `program` of the package `package`, which serves `purpose`.
    #[must_use]
    pub(crate) const fn new(program: &'static str, package: &'static str, purpose: &'static str) -> Self {
        Self { program, package, purpose }
    }

    /// Whether it cannot be found.
    #[must_use]
    pub(crate) fn is_missing(&self) -> bool {
        let file = Path::new(self.program);
        if file.is_absolute() { !file.exists() } else { process::find(self.program).is_none() }
    }
}

/// Installs the packages of those programs that are missing, if any are.
pub(crate) fn ensure(needed: &[Needed]) -> Result<()> {
    let missing: Vec<_> = needed.iter().copied().filter(Needed::is_missing).collect();
    if missing.is_empty() { Ok(()) } else { install(&missing) }
}

/// Installs packages without a question, and without taking another package away.
pub(crate) fn install(needed: &[Needed]) -> Result<()> {
    let names = packages(needed).join(" ");
    if process::find("apt-get").is_none() {
        bail!("missing here, and there is no apt-get to install it with: {names}");
    }
    if !privilege::can_be_root() {
        bail!("there is no sudo here: run `apt-get install {names}` as root");
    }
    // Old lists offer old versions, or ones that are gone. When some source cannot be reached the install may still do.
    if let Err(why) = update_with(&[]) {
        process::step(&format!("going on with the package lists there are: {why:#}"));
    }
    install_with(&[], needed)
}

/// The same with more options for apt-get, and with the package lists as they are.
pub(crate) fn install_with(options: &[String], needed: &[Needed]) -> Result<()> {
    let words = ["install", "--no-install-recommends", "--no-remove"].map(str::to_owned);
    let names = packages(needed);
    let arguments: Vec<_> =
        options.iter().cloned().chain(words).chain(names.iter().map(ToString::to_string)).collect();
    announce(needed, &arguments)?;
    let mut install = apt_get()?;
    install.args(["-q", "-y", "-o", "DPkg::Use-Pty=0"]).args(&arguments);
    process::run_quietly(&mut install).with_context(|| format!("could not install {}", names.join(" ")))
}

/// Fetches the package lists, with more options for apt-get.
pub(crate) fn update_with(options: &[String]) -> Result<()> {
    process::run_quietly(apt_get()?.args(["update", "-qq"]).args(options))
}

/// Says what is about to be installed: its size, and each package with its purpose.
fn announce(needed: &[Needed], arguments: &[String]) -> Result<()> {
    // This way it installs nothing, and says what it would do.
    let plan = apt_get()?.args(["--print-uris", "-y", "-o", "quiet=0"]).args(arguments).output();
    let plan = plan.context("cannot run apt-get")?;
    let size = size(&String::from_utf8_lossy(&plan.stdout));
    process::step(&format!("installing with apt-get{}:{}", size.unwrap_or_default(), list(needed)));
    Ok(())
}

/// What apt-get says about size, such as `, 145 MB to download, 810 MB on disk`.
fn size(plan: &str) -> Option<String> {
    let between = |before: &str, after: &str| {
        plan.lines().find_map(|line| line.strip_prefix(before)?.split_once(after)).map(|(size, _)| size)
    };
    // `52.4 MB/145 MB` when a part was downloaded before.
    let download = between("Need to get ", " of archives")?.rsplit('/').next()?;
    let disk = between("After this operation, ", " of additional disk space")?;
    Some(format!(", {download} to download, {disk} on disk"))
}

/// One line for each package.
fn list(needed: &[Needed]) -> String {
    let mut lines = String::new();
    for package in packages(needed) {
        let purposes = needed.iter().filter(|one| one.package == package).map(|one| one.purpose);
        let _ = write!(lines, "\n    {package:<16}  {}", each_once(purposes).join("; "));
    }
    lines
}

/// The packages' names.
fn packages(needed: &[Needed]) -> Vec<&'static str> {
    each_once(needed.iter().map(|one| one.package))
}

fn each_once(words: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    words.collect::<BTreeSet<_>>().into_iter().collect()
}

fn apt_get() -> Result<Command> {
    // `env` rather than our own environment: sudo would drop it. Its words are read, so they must be English.
    let mut command = privilege::as_root(Path::new("/usr/bin/env"), &[])?;
    command.args(["LC_ALL=C", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=300"]);
    Ok(command)
}

/// Installs servers whose packages would start them, now and at each boot, as services: they do neither. A service
/// whose server was here before is left alone.
pub(crate) fn install_stopped(servers: &[(Needed, &str)], others: &[Needed]) -> Result<()> {
    let (missing, services): (Vec<_>, Vec<_>) =
        servers.iter().copied().filter(|(server, _)| server.is_missing()).unzip();
    // A mask below /run is gone after the next boot, whatever becomes of us.
    let masked = Path::new("/run/systemd/system").exists() && !services.is_empty();
    if masked {
        systemctl("mask", &services)?;
    }
    let installed = ensure(&[missing.as_slice(), others].concat());
    // Also when that failed half-way.
    let disabled = services.iter().try_for_each(|service| disable(service));
    if masked {
        systemctl("unmask", &services)?;
    }
    installed.and(disabled)
}

fn systemctl(verb: &str, services: &[&str]) -> Result<()> {
    let mut command = privilege::as_root(Path::new("/usr/bin/systemctl"), &[])?;
    process::run_quietly(command.args(["--quiet", "--runtime", verb]).args(services))
}

/// Keeps a service from starting at the next boot. `update-rc.d` knows all kinds of init, also where none is running.
fn disable(service: &str) -> Result<()> {
    if !Path::new("/etc/init.d").join(service).exists() {
        return Ok(());
    }
    process::step(&format!("{service} is here for the tests only: its service is disabled"));
    let mut command = privilege::as_root(Path::new("/usr/sbin/update-rc.d"), &[])?;
    process::run_quietly(command.args([service, "disable"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_what_apt_get_says() {
        let plan = |download: &str| {
            format!(
                "Reading package lists...\nNeed to get {download} of archives.\n\
                 After this operation, 810 MB of additional disk space will be used.\nDo you want to continue? [Y/n] N\n"
            )
        };
        let said = |plan: &str| size(plan).unwrap_or_default();
        assert_eq!(said(&plan("145 MB")), ", 145 MB to download, 810 MB on disk");
        assert_eq!(said(&plan("52.4 MB/145 MB")), ", 145 MB to download, 810 MB on disk");
        assert_eq!(said("E: Unable to locate package\n"), "");
    }

    #[test]
    fn each_package_is_listed_once_with_all_its_purposes() {
        let needed = [
            Needed::new("ss", "iproute2", "lists sockets"),
            Needed::new("cc", "build-essential", "links"),
            Needed::new("ip", "iproute2", "makes namespaces"),
            Needed::new("tc", "iproute2", "makes namespaces"),
        ];
        let lines = "\n    build-essential   links\n    iproute2          lists sockets; makes namespaces";
        assert_eq!(list(&needed), lines);
    }
}
