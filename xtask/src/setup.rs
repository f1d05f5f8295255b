//! Finding or installing what tracer is built and tested with. Quick when everything is there.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};

use crate::debian::{self, Needed};
use crate::toolchain::{self, Toolchain};
use crate::{backports, linker, process, workspace};

/// Debian's newest Rust: unlike its other packages it is kept up to date for the browsers. It installs beside rustup.
const RUST: [Needed; 3] = [
    Needed::new("rustc", "rustc-web", "a Rust compiler whose library source can be had"),
    Needed::new("cargo", "cargo-web", "its cargo"),
    Needed::new("rustc", "rust-web-src", "that source, from which `core` is built for BPF"),
];

const BUILD_PROGRAMS: [Needed; 1] = [Needed::new("cc", "build-essential", "links what cargo builds")];

const LAB_PROGRAMS: [Needed; 5] = [
    Needed::new("tcpdump", "tcpdump", "captures packets: the oracle of the tests"),
    Needed::new("ip", "iproute2", "makes network namespaces and shows sockets"),
    Needed::new("ss", "iproute2", "makes network namespaces and shows sockets"),
    Needed::new("sysctl", "procps", "reads kernel settings and processes"),
    Needed::new("ps", "procps", "reads kernel settings and processes"),
];

/// Test programs whose packages bring a service that would start by itself, with its name.
const TEST_SERVICES: [(Needed, &str); 3] = [
    (Needed::new("nginx", "nginx-light", WATCHED), "nginx"),
    (Needed::new("promtool", "prometheus", "checks the metrics, and scrapes them"), "prometheus"),
    (Needed::new("haproxy", "haproxy", WATCHED), "haproxy"),
];

/// Test programs in packages without a service.
const TEST_PROGRAMS: [Needed; 9] = [
    Needed::new("mkfs.ext4", "e2fsprogs", "makes a disk that can be frozen"),
    Needed::new("curl", "curl", "asks over TLS"),
    Needed::new("openssl", "openssl", "makes certificates"),
    Needed::new("apache2", "apache2-bin", WATCHED),
    Needed::new("gunicorn", "gunicorn", WATCHED),
    // One of its worker classes, with no program of its own.
    Needed::new("gunicorn", "python3-gevent", WATCHED),
    Needed::new("node", "nodejs", WATCHED),
    Needed::new("chromium", "chromium", "opens the live page"),
    Needed::new("chromedriver", "chromium-driver", "opens the live page"),
];

/// Software of which requests are lost on purpose, besides what the tests need, with services of its packages.
const SOFTWARE_SERVICES: [(Needed, &str); 5] = [
    (Needed::new("lighttpd", "lighttpd", FAILING), "lighttpd"),
    (Needed::new("php-fpm8.2", "php-fpm", FAILING), "php8.2-fpm"),
    (Needed::new("redis-server", "redis-server", HEALTHY), "redis-server"),
    (Needed::new("mariadbd", "mariadb-server", HEALTHY), "mariadb"),
    (Needed::new("pg_ctlcluster", "postgresql", HEALTHY), "postgresql"),
];

/// The same in packages without a service. What is a library has no program of its own, and comes with its user's.
const SOFTWARE_PROGRAMS: [Needed; 13] = [
    Needed::new("go", "golang-go", FAILING),
    Needed::new("java", "default-jdk-headless", FAILING),
    Needed::new("/usr/share/java/tomcat10-catalina.jar", "libtomcat10-java", FAILING),
    Needed::new("/usr/share/nodejs/axios/package.json", "node-axios", FAILING),
    Needed::new("/usr/lib/python3/dist-packages/grpc/__init__.py", "python3-grpcio", FAILING),
    Needed::new("uvicorn", "uvicorn", FAILING),
    Needed::new("waitress-serve", "python3-waitress", FAILING),
    Needed::new("httpx", "python3-httpx", FAILING),
    Needed::new("httpx", "python3-requests", FAILING),
    Needed::new("httpx", "python3-aiohttp", FAILING),
    Needed::new("httpx", "python3-tornado", FAILING),
    Needed::new("mariadbd", "python3-pymysql", HEALTHY),
    Needed::new("mariadbd", "python3-psycopg2", HEALTHY),
];

const FAILING: &str = "software that is made to lose requests";
const HEALTHY: &str = "software whose connections end well";

/// What emulated machines need besides what the lab needs.
const VM_PROGRAMS: [Needed; 6] = [
    Needed::new("qemu-system-x86_64", "qemu-system-x86", "emulates machines with other kernels"),
    Needed::new("busybox", "busybox-static", "what those machines start with"),
    Needed::new("ldd", "libc-bin", "finds what their programs need"),
    Needed::new("timeout", "coreutils", "bounds captures"),
    Needed::new("xz", "xz-utils", "unpacks kernels"),
    Needed::new("dpkg-deb", "dpkg", "unpacks kernels"),
];

/// What tracer is compared with and measured with, besides what the tests need.
const BENCH_PROGRAMS: [Needed; 3] = [
    Needed::new("wrk", "wrk", "makes the load"),
    Needed::new("bpftrace", "bpftrace", "what tracer is compared with"),
    Needed::new("valgrind", "valgrind", "counts instructions"),
];

const FRESH_PROGRAMS: [Needed; 2] = [
    Needed::new("debootstrap", "debootstrap", "makes the fresh machine"),
    Needed::new("unshare", "util-linux", "keeps the fresh machine's mounts and processes apart"),
];

const WATCHED: &str = "a server whose keep-alive timeout is measured";

/// What the eBPF build needs: a compiler, and a linker that reads what it writes.
pub fn build() -> Result<(Toolchain, PathBuf)> {
    debian::ensure(&BUILD_PROGRAMS)?;
    let toolchain = match toolchain::find() {
        Ok(toolchain) => toolchain,
        Err(lacking) => add_rust(&lacking)?,
    };
    let linker = linker::ensure(&toolchain)?;
    Ok((toolchain, linker))
}

/// The small way is a component of the Rust that is here; the large one is another Rust.
fn add_rust(lacking: &anyhow::Error) -> Result<Toolchain> {
    process::step(&format!("no compiler here can build for BPF ({lacking:#})"));
    toolchain::add_source().or_else(|why| {
        process::step(&format!("rustup cannot add rust-src ({why:#})"));
        debian::install(&RUST).and_then(|()| toolchain::inspect(Path::new("/usr"))).map_err(|why| {
            anyhow!("{why:#}; or run `rustup component add rust-src` where rustup reaches its server")
        })
    })
}

/// What emulated machines and the lab in them need.
pub fn vm() -> Result<()> {
    debian::ensure(&LAB_PROGRAMS)?;
    let Err(why) = debian::ensure(&VM_PROGRAMS) else { return Ok(()) };
    process::step(&format!("{why:#}: trying with backports"));
    let missing: Vec<_> = VM_PROGRAMS.into_iter().filter(Needed::is_missing).collect();
    backports::install(&missing, &workspace::target_dir().join("backports"))
}

/// What the bench measures with.
pub fn bench() -> Result<()> {
    debian::ensure(&BENCH_PROGRAMS)
}

/// What fresh machines are made with.
pub fn fresh() -> Result<()> {
    debian::ensure(&FRESH_PROGRAMS)
}

/// What the tests need besides.
pub fn tests() -> Result<()> {
    debian::install_stopped(&TEST_SERVICES, &[&LAB_PROGRAMS[..], &TEST_PROGRAMS].concat())
}

/// What loses requests, or does not, besides.
pub fn software() -> Result<()> {
    debian::install_stopped(&SOFTWARE_SERVICES, &SOFTWARE_PROGRAMS)
}
