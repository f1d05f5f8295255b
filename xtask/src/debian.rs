//! Debian packages: installing what is missing.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::{privilege, process};

/// A program, and the Debian package it comes in.
pub type Needed = (&'static str, &'static str);

/// Installs the packages of those programs that are missing, if any are.
pub fn ensure(needed: &[Needed]) -> Result<()> {
    let mut packages: Vec<_> = needed
        .iter()
        .filter(|(program, _)| process::find(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    packages.sort_unstable();
    packages.dedup();
    if packages.is_empty() { Ok(()) } else { install(&packages) }
}

/// Installs `packages` without a question, and without taking another package away.
pub fn install(packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    if process::find("apt-get").is_none() {
        bail!("missing here, and there is no apt-get to install it with: {names}");
    }
    if !privilege::can_be_root() {
        bail!("there is no sudo here: run `apt-get install {names}` as root");
    }
    process::step(&format!("installing with apt-get: {names}"));
    // Old lists offer old versions, or ones that are gone. When some source cannot be reached the install may still do.
    if let Err(why) = apt_get(&["update", "-qq"]) {
        process::step(&format!("going on with the package lists there are: {why:#}"));
    }
    let options = ["install", "-y", "--no-install-recommends", "--no-remove"];
    apt_get(&[&options[..], packages].concat()).with_context(|| format!("could not install {names}"))
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    // `env` rather than our own environment: sudo would drop it.
    let mut command = privilege::as_root(Path::new("/usr/bin/env"), &[])?;
    command
        .args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=300"])
        .args(arguments);
    process::run_quietly(&mut command)
}

/// Keeps services that come with the test programs from starting, now or at boot, on a machine that runs systemd.
pub fn mask_services(units: &[&str]) -> Result<()> {
    if !Path::new("/run/systemd/system").exists() {
        return Ok(());
    }
    process::step(&format!("masking {} (systemctl unmask gives them back)", units.join(" ")));
    let mut command = privilege::as_root(Path::new("/usr/bin/systemctl"), &[])?;
    process::run_quietly(command.args(["mask", "--quiet"]).args(units))
}
