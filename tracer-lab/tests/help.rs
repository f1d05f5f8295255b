//! What the programs say of themselves fits an old terminal.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tracer_lab::workspace;

/// Characters in a line of the narrowest terminal that is usual.
const COLUMNS: usize = 80;

fn programs() -> [PathBuf; 2] {
    [workspace::daemon_under_test(), PathBuf::from(env!("CARGO_BIN_EXE_tracer-lab"))]
}

fn said(program: &Path, words: &[&str]) -> Result<String> {
    let output = Command::new(program).args(words).output().with_context(|| {
        format!("cannot run {} (`cargo xtask build` makes the daemon)", program.display())
    })?;
    ensure!(output.status.success(), "{} {words:?} failed: {output:?}", program.display());
    Ok(String::from_utf8(output.stdout)?)
}

/// The commands that a help text lists.
fn commands(help: &str) -> Vec<&str> {
    let listed =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // What a command does may go on in further lines.
    let names = listed.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect()
}

#[test]
fn no_line_of_help_is_longer_than_a_terminal() -> Result<()> {
    for program in programs() {
        let overview = said(&program, &["-h"])?;
        let commands = commands(&overview);
        ensure!(!commands.is_empty(), "{} lists no commands: {overview}", program.display());
        for flag in ["-h", "--help"] {
            let of_commands = commands.iter().map(|command| vec![*command, flag]);
            for words in of_commands.chain([vec![flag]]) {
                let help = said(&program, &words)?;
                let long: Vec<_> = help.lines().filter(|line| line.chars().count() > COLUMNS).collect();
                assert!(long.is_empty(), "{} {words:?}: {long:#?}", program.display());
            }
        }
    }
    Ok(())
}

#[test]
fn help_lists_the_log_levels() -> Result<()> {
    let [tracer, _] = programs();
    let help = said(&tracer, &["--help"])?.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("[possible values: off, error, warn, info, debug, trace]"), "{help}");
    Ok(())
}

#[test]
fn the_version_tells_the_commit() -> Result<()> {
    let [tracer, _] = programs();
    let version = said(&tracer, &["--version"])?;
    let rest =
        version.strip_prefix(concat!("tracer ", env!("CARGO_PKG_VERSION"))).unwrap_or(&version).trim_end();
    let revision = rest.strip_prefix(" (").and_then(|rest| rest.strip_suffix(')')).unwrap_or(rest);
    let commit = revision.strip_suffix("-dirty").unwrap_or(revision);
    let is_commit = commit.len() >= 7 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    // A tarball has none.
    assert!(rest.is_empty() || is_commit, "{version}");
    Ok(())
}
