//! The shared libraries that programs need.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::testbed::process;

/// The shared libraries of `program`, the dynamic linker among them; none if it is static.
pub(crate) fn libraries(program: &Path) -> Result<Vec<String>> {
    // ldd fails for a static program.
    let output = Command::new("ldd").arg(program).env_remove("LD_LIBRARY_PATH").output();
    let output = output.context("cannot run ldd")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if let Some(missing) = text.lines().find(|line| line.contains("not found")) {
        process::step(&format!("{}: {}", program.display(), missing.trim()));
    }
    Ok(paths(&text))
}

fn paths(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_from_what_ldd_prints() {
        let text = "\tlinux-vdso.so.1 (0x00007f5525c5e000)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f30fd61e000)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f30fe0b7000)\n";
        assert_eq!(paths(text), ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]);
        assert!(paths("\tnot a dynamic executable\n").is_empty());
    }
}
