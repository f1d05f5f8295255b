//! Tables for `docs/BENCHMARKS.md`, and their places in it.

use std::fs;
use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result};

use crate::testbed::process;
use crate::workspace;

/// Where the figures are kept.
const FILE: &str = "docs/BENCHMARKS.md";

/// A table in Markdown; all columns but the first hold figures.
pub(crate) fn table(head: &[String], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule: Vec<_> =
        (0..head.len()).map(|column| if column == 0 { "---" } else { "---:" }.to_owned()).collect();
    let rows: String = rows.into_iter().map(|row| line(&row)).collect();
    format!("{}{}{rows}", line(head), line(&rule))
}

/// What was measured, where and when.
pub(crate) fn provenance() -> Result<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    // The version; what follows names one machine's build.
    let kernel = release.trim().split('-').next().unwrap_or_default();
    let cpus = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown CPU", |(_, model)| model);
    let cores = thread::available_parallelism()?;
    let date = process::output(Command::new("date").args(["-u", "+%F %R UTC"])).context("`date` fails")?;
    let mut git = Command::new("git");
    git.args(["describe", "--always", "--dirty"]).current_dir(workspace::root());
    let revision = process::output(&mut git).unwrap_or_else(|| "unknown".to_owned());
    Ok(format!(
        "*{}, revision {}, Linux {}, {cores} cores ({}).*\n\n",
        date.trim(),
        revision.trim(),
        kernel,
        model.trim()
    ))
}

/// Puts `text` between the marks of its section.
pub(crate) fn write(section: &str, text: &str) -> Result<()> {
    let path = workspace::root().join(FILE);
    let old = fs::read_to_string(&path).with_context(|| format!("cannot read {FILE}"))?;
    let new = replace(&old, section, text).with_context(|| format!("{FILE} has no place for {section}"))?;
    fs::write(&path, new).with_context(|| format!("cannot write {FILE}"))
}

fn replace(old: &str, section: &str, text: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- {section} -->\n"), format!("<!-- end of {section} -->"));
    let (before, rest) = old.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}{text}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_between_its_marks_and_nothing_else() {
        let old = "a\n<!-- x -->\nold\n<!-- end of x -->\nb <!-- y -->\n";
        let new = replace(old, "x", "new\n");
        assert_eq!(new.as_deref(), Some("a\n<!-- x -->\nnew\n<!-- end of x -->\nb <!-- y -->\n"));
        assert_eq!(replace(old, "y", "new\n"), None);
    }
}
