//! The kernel modules that the lab needs, with those that they need, in the order in which they load.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// What the lab's networks are made of, and what tells their sockets.
const NEEDED: [&str; 5] = ["veth", "sch_tbf", "af_packet", "inet_diag", "tcp_diag"];
/// What the lab uses where the kernel has it.
const WELCOME: [&str; 2] = ["ipv6", "sch_netem"];

/// A module ready to be loaded.
pub(crate) struct Module {
    pub(crate) name: String,
    /// Not compressed.
    pub(crate) object: Vec<u8>,
}

/// The modules of the kernel in `directory` that the lab needs and that are not built in.
pub(crate) fn needed(directory: &Path) -> Result<Vec<Module>> {
    let mut order = Order { known: Known::read(directory)?, modules: Vec::new() };
    for name in NEEDED {
        order.add(name).with_context(|| format!("the lab needs the module {name}"))?;
    }
    for name in WELCOME {
        if order.known.files.contains_key(name) {
            order.add(name)?;
        }
    }
    Ok(order.modules)
}

struct Known {
    built_in: Vec<String>,
    files: HashMap<String, PathBuf>,
}

impl Known {
    fn read(directory: &Path) -> Result<Self> {
        let built_in = fs::read_to_string(directory.join("modules.builtin")).unwrap_or_default();
        let mut files = HashMap::new();
        collect(&directory.join("kernel"), &mut files)
            .with_context(|| format!("cannot list the modules in {}", directory.display()))?;
        Ok(Self { built_in: built_in.lines().filter_map(name).collect(), files })
    }
}

fn collect(directory: &Path, into: &mut HashMap<String, PathBuf>) -> Result<()> {
    for entry in directory.read_dir()? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, into)?;
        } else if let Some(name) = path.to_str().and_then(name) {
            into.insert(name, path);
        }
    }
    Ok(())
}

struct Order {
    known: Known,
    modules: Vec<Module>,
}

impl Order {
    /// Adds a module after those that it depends on, unless it is there already.
    fn add(&mut self, name: &str) -> Result<()> {
        let present = self.known.built_in.iter().chain(self.modules.iter().map(|module| &module.name));
        if present.into_iter().any(|present| present == name) {
            return Ok(());
        }
        let path = self.known.files.get(name).with_context(|| format!("this kernel has no module {name}"))?;
        let object = read(path)?;
        for dependency in depends(&object) {
            self.add(&dependency)?;
        }
        self.modules.push(Module { name: name.to_owned(), object });
        Ok(())
    }
}

/// Reads a module that may be compressed.
fn read(path: &Path) -> Result<Vec<u8>> {
    let program = match path.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => return fs::read(path).with_context(|| format!("cannot read {}", path.display())),
    };
    let output = Command::new(program).arg("-dc").arg(path).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run {program}"))?;
    ensure!(output.status.success(), "{program} cannot decompress {}", path.display());
    Ok(output.stdout)
}

/// The name of the module in the file at `path`.
fn name(path: &str) -> Option<String> {
    let (name, _) = path.rsplit('/').next()?.split_once(".ko")?;
    // Module names know no hyphen.
    Some(name.replace('-', "_"))
}

/// What the module says that it depends on: `depends=a,b` between two zero bytes.
fn depends(object: &[u8]) -> Vec<String> {
    let mut strings = object.split(|byte| *byte == 0);
    let names = strings.find_map(|string| string.strip_prefix(b"depends="));
    let names = String::from_utf8_lossy(names.unwrap_or_default());
    names.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_load_after_what_they_depend_on() {
        let directory = tempfile::TempDir::new().unwrap();
        let net = directory.path().join("kernel/net");
        fs::create_dir_all(&net).unwrap();
        fs::write(directory.path().join("modules.builtin"), "kernel/net/packet/af_packet.ko\n").unwrap();
        for (file, depends) in [
            ("veth.ko", ""),
            ("sch_tbf.ko", ""),
            ("tcp_diag.ko", "inet-diag"),
            ("inet-diag.ko", "sock_diag"),
            ("sock_diag.ko", ""),
            ("other.ko", ""),
        ] {
            fs::write(net.join(file), format!("\u{1}\0alias=x\0depends={depends}\0name=x\0")).unwrap();
        }
        let names: Vec<_> = needed(directory.path()).unwrap().into_iter().map(|module| module.name).collect();
        assert_eq!(names, ["veth", "sch_tbf", "sock_diag", "inet_diag", "tcp_diag"]);
    }

    #[test]
    fn names_come_from_paths() {
        assert_eq!(name("kernel/net/sched/sch-tbf.ko.xz").as_deref(), Some("sch_tbf"));
        assert_eq!(name("modules.order"), None);
    }
}
