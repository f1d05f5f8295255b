//! Finding or installing what tracer is built and tested with. Quick when everything is there.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};

use crate::debian::{self, Needed};
use crate::toolchain::{self, Toolchain};
use crate::{linker, process};

/// Debian's newest Rust: unlike its other packages it is kept up to date for the browsers. It installs beside rustup.
const RUST_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

const BUILD_PROGRAMS: [Needed; 1] = [("cc", "build-essential")];

const TEST_PROGRAMS: [Needed; 5] =
    [("tcpdump", "tcpdump"), ("ip", "iproute2"), ("ss", "iproute2"), ("sysctl", "procps"), ("ps", "procps")];

/// Test programs whose packages bring a service that would start by itself, with its unit.
const TEST_SERVERS: [(Needed, &str); 3] = [
    (("nginx", "nginx-light"), "nginx.service"),
    (("promtool", "prometheus"), "prometheus.service"),
    (("haproxy", "haproxy"), "haproxy.service"),
];

/// Servers whose keep-alive timeouts are watched, in packages without a service.
const KEEP_ALIVE_SERVERS: [Needed; 4] = [
    ("apache2", "apache2-bin"),
    ("gunicorn", "gunicorn"),
    // One of its worker classes, with no program of its own.
    ("gunicorn", "python3-gevent"),
    ("node", "nodejs"),
];

/// What opens the live page.
const TEST_BROWSER: [Needed; 2] = [("chromium", "chromium"), ("chromedriver", "chromium-driver")];

/// What the eBPF build needs: a compiler, and a linker that reads what it writes.
pub fn build() -> Result<(Toolchain, PathBuf)> {
    debian::ensure(&BUILD_PROGRAMS)?;
    let toolchain = match toolchain::find() {
        Ok(toolchain) => toolchain,
        Err(lacking) => install_rust(&lacking)?,
    };
    let linker = linker::ensure(&toolchain)?;
    Ok((toolchain, linker))
}

fn install_rust(lacking: &anyhow::Error) -> Result<Toolchain> {
    process::step(&format!("no compiler here can build for BPF ({lacking:#})"));
    debian::install(&RUST_PACKAGES)
        .and_then(|()| toolchain::inspect(Path::new("/usr")))
        .map_err(|why| anyhow!("{why:#}; or run `rustup toolchain install nightly --component rust-src`"))
}

/// What the lab needs besides.
pub fn lab() -> Result<()> {
    debian::ensure(&TEST_PROGRAMS)
}

/// What the tests need besides.
pub fn tests() -> Result<()> {
    lab()?;
    let missing = |(program, _): &Needed| process::find(program).is_none();
    let (servers, units): (Vec<_>, Vec<_>) =
        TEST_SERVERS.iter().copied().filter(|(server, _)| missing(server)).unzip();
    if !units.is_empty() {
        debian::mask_services(&units)?;
    }
    debian::ensure(&[servers.as_slice(), &KEEP_ALIVE_SERVERS, &TEST_BROWSER].concat())
}
