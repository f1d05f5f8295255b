//! Runs `cargo test`, shows what it prints as it comes, and sums up all its test binaries at the end.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, BufRead as _, BufReader, PipeReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::workspace;

/// How long to wait for more output once cargo has ended and another process still holds the pipe.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How tests that need root say that they are skipped, although their harness calls them passed.
const SKIPPED: &str = ": skipped: needs root";

/// Runs `cargo test --no-fail-fast` with these words to its end; every test that failed, and every binary that did not
/// say how its tests went, is a failure. The last line on stdout is `N passed, N failed, N skipped`.
pub fn run(words: &[OsString]) -> Result<()> {
    let mut cargo = workspace::cargo();
    cargo.args(["test", "--no-fail-fast"]).args(words);
    let mut summary = Summary::default();
    let succeeded = follow(cargo, |line| summary.line(line))?;
    let totals = summary.finish(succeeded);
    print!("{totals}");
    ensure!(totals.failed == 0, "not all tests passed");
    Ok(())
}

/// Passes on each line of what `command` prints, to our own stdout and to `take`; returns whether it succeeded.
fn follow(mut command: Command, mut take: impl FnMut(&str)) -> Result<bool> {
    let (reader, writer) = io::pipe()?;
    // One pipe: what cargo says of a binary stays where it belongs, between the lines of its tests.
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child =
        command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    // It holds the pipe's other end.
    drop(command);
    let lines = lines(reader);
    loop {
        match lines.recv_timeout(LAST_WORDS) {
            Ok(line) => {
                let line = String::from_utf8_lossy(&line);
                print!("{line}");
                take(line.trim_end_matches('\n'));
            }
            Err(RecvTimeoutError::Timeout) if child.try_wait()?.is_none() => {}
            Err(_) => return Ok(child.wait()?.success()),
        }
    }
}

fn lines(reader: PipeReader) -> Receiver<Vec<u8>> {
    let (send, lines) = channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            if send.send(std::mem::take(&mut line)).is_err() {
                break;
            }
        }
    });
    lines
}

/// The numbers of tests, and what failed where.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    passed: u64,
    failed: u64,
    skipped: u64,
    failures: Vec<String>,
}

impl fmt::Display for Totals {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.failures.is_empty() {
            writeln!(out, "\nfailed in all test binaries:")?;
        }
        self.failures.iter().try_for_each(|failure| writeln!(out, "    {failure}"))?;
        writeln!(out, "\n{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// What the test binaries have reported so far.
#[derive(Default)]
struct Summary {
    totals: Totals,
    binary: Option<Binary>,
}

/// The test binary that runs.
struct Binary {
    name: String,
    has_reported: bool,
    /// Its failures are among the totals.
    is_blamed: bool,
    /// Tests that skipped themselves.
    skips: u64,
    /// The names below the last `failures:`.
    names: Vec<String>,
}

impl Binary {
    fn new(name: String) -> Self {
        Self { name, has_reported: false, is_blamed: false, skips: 0, names: Vec::new() }
    }
}

impl Summary {
    /// Takes the next line.
    fn line(&mut self, line: &str) {
        if let Some(name) = binary_name(line) {
            self.end_binary();
            self.binary = Some(Binary::new(name));
        } else if let Some(counts) = counts(line) {
            self.report(counts);
        } else if line.starts_with("error: test failed") || line.starts_with("error: doctest failed") {
            self.blame("ended badly");
        } else if let Some(binary) = &mut self.binary {
            binary.skips += u64::from(line.contains(SKIPPED));
            match line.strip_prefix("    ") {
                Some(name) => binary.names.push(name.to_owned()),
                None if line == "failures:" => binary.names.clear(),
                None => {}
            }
        }
    }

    /// The binary says how its tests went.
    fn report(&mut self, [passed, failed, ignored]: [u64; 3]) {
        // With -q cargo does not name it.
        let binary = self.binary.get_or_insert_with(|| Binary::new("a test binary".to_owned()));
        let skips = binary.skips.min(passed);
        binary.skips = 0;
        binary.has_reported = true;
        self.totals.passed += passed - skips;
        self.totals.skipped += ignored + skips;
        self.totals.failed += failed;
        if failed > 0 {
            binary.is_blamed = true;
            let of_binary = |name: String| format!("{}: {name}", binary.name);
            self.totals.failures.extend(binary.names.drain(..).map(of_binary));
        }
    }

    /// Something went wrong that is no test's failure, unless one of them explains it.
    fn blame(&mut self, why: &str) {
        let binary = self.binary.get_or_insert_with(|| Binary::new("a test binary".to_owned()));
        if !binary.is_blamed {
            binary.is_blamed = true;
            let why = if binary.has_reported { why } else { "did not say how its tests went" };
            self.totals.failed += 1;
            self.totals.failures.push(format!("{}: {why}", binary.name));
        }
    }

    fn end_binary(&mut self) {
        if self.binary.as_ref().is_some_and(|binary| !binary.has_reported) {
            self.blame("");
        }
    }

    fn finish(mut self, cargo_succeeded: bool) -> Totals {
        self.end_binary();
        if !cargo_succeeded && self.totals.failed == 0 {
            self.totals.failed = 1;
            self.totals.failures.push("cargo itself: see above".to_owned());
        }
        self.totals
    }
}

/// `     Running tests/mix.rs (target/debug/deps/mix-0123456789abcdef)`, or `   Doc-tests tracer`.
fn binary_name(line: &str) -> Option<String> {
    if let Some(package) = line.strip_prefix("   Doc-tests ") {
        return Some(format!("{package} (doc tests)"));
    }
    let (source, path) = line.strip_prefix("     Running ")?.strip_suffix(')')?.split_once(" (")?;
    let (_, file) = path.rsplit_once('/')?;
    let (name, _hash) = file.rsplit_once('-')?;
    Some(format!("{name} ({source})"))
}

/// Passed, failed and ignored of `test result: ok. 1 passed; 0 failed; 2 ignored; 0 measured; …`.
fn counts(line: &str) -> Option<[u64; 3]> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut counts = counts.split("; ");
    let mut count = |what: &str| counts.next()?.strip_suffix(what)?.parse().ok();
    Some([count(" passed")?, count(" failed")?, count(" ignored")?])
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &str =
        "test result: ok. 1 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s";
    const FAILED: &str =
        "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.18s";

    #[track_caller]
    fn check(lines: &str, cargo_succeeded: bool, expected: &str) {
        let mut summary = Summary::default();
        lines.lines().for_each(|line| summary.line(line));
        assert_eq!(summary.finish(cargo_succeeded).to_string().trim_start(), expected);
    }

    #[test]
    fn results_of_all_binaries_are_added() {
        let lines = format!(
            "     Running unittests src/lib.rs (target/debug/deps/tracer-16f6e3d3e1df6dc6)

running 2 tests
test tests::left ... ignored
test tests::works ... ok

{OK}

     Running tests/lab.rs (target/debug/deps/lab-5cc1427ff5d6de51)

running 1 test
test race-fin-in-flight/v6     ... ok
test C         ... ignored

{OK}

   Doc-tests tracer

running 1 test

{OK}"
        );
        check(&lines, true, "3 passed, 0 failed, 3 skipped\n");
    }

    #[test]
    fn what_failed_is_named_with_its_binary() {
        let lines = format!(
            "     Running tests/daemon/main.rs (target/debug/deps/daemon-bac2ca463b557f06)

running 2 tests
test good ... ok
test flood::bad ... FAILED

failures:

---- flood::bad stdout ----
failures:
    odd

thread 'flood::bad' (5512) panicked at tests/fails.rs:1:85:
no
stack backtrace:
             at ./tests/fails.rs:1:38


failures:
    flood::bad

{FAILED}

error: test failed, to rerun pass `--test daemon`
   Doc-tests tracer

failures:
    src/lib.rs - one (line 5)

{FAILED}

error: doctest failed, to rerun pass `--doc`
error: 2 targets failed:
    `--test daemon`
    `--doc`"
        );
        let expected = "failed in all test binaries:
    daemon (tests/daemon/main.rs): flood::bad
    tracer (doc tests): src/lib.rs - one (line 5)

2 passed, 2 failed, 0 skipped
";
        check(&lines, false, expected);
    }

    #[test]
    fn a_binary_that_dies_or_says_nothing_has_failed() {
        let dies = "     Running tests/aborts.rs (target/debug/deps/aborts-c869cdd318354a70)

running 1 test
error: test failed, to rerun pass `--test aborts`

Caused by:
  process didn't exit successfully: `target/debug/deps/aborts-c869cdd318354a70` (signal: 6, SIGABRT: process abort signal)
     Running tests/mute.rs (target/debug/deps/mute-c869cdd318354a70)";
        let expected = "failed in all test binaries:
    aborts (tests/aborts.rs): did not say how its tests went
    mute (tests/mute.rs): did not say how its tests went

0 passed, 2 failed, 0 skipped
";
        check(dies, false, expected);
    }

    #[test]
    fn a_binary_that_ends_badly_after_good_tests_has_failed() {
        let lines = format!(
            "     Running tests/lab.rs (target/debug/deps/lab-ea186fe821cac156)\n\nrunning 1 test\n\n{OK}\n
the tracer ended badly
error: test failed, to rerun pass `--test lab`"
        );
        let expected = "failed in all test binaries:
    lab (tests/lab.rs): ended badly

1 passed, 1 failed, 1 skipped
";
        check(&lines, false, expected);
    }

    #[test]
    fn a_build_that_fails_is_a_failure() {
        let expected =
            "failed in all test binaries:\n    cargo itself: see above\n\n0 passed, 1 failed, 0 skipped\n";
        check("error: could not compile `tracer` (lib) due to 1 previous error", false, expected);
    }

    #[test]
    fn tests_that_skip_themselves_are_not_called_passed() {
        let skips = |times: usize| "stop: skipped: needs root (run sudo …)\n".repeat(times);
        let named = "     Running tests/nginx.rs (target/debug/deps/nginx-ea186fe821cac156)";
        check(&format!("{named}\n{}{OK}", skips(1)), true, "0 passed, 0 failed, 2 skipped\n");
        // A binary that says so once, and whose harness knows it of each test.
        check(
            &format!("{named}\n{}{}", skips(1), OK.replace("1 passed", "0 passed")),
            true,
            "0 passed, 0 failed, 1 skipped\n",
        );
    }

    #[test]
    fn what_is_printed_comes_line_by_line_from_both_outputs() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo one; echo two >&2; printf three; exit 3"]);
        let mut seen = Vec::new();
        assert!(!follow(shell, |line| seen.push(line.to_owned())).unwrap());
        assert_eq!(seen, ["one", "two", "three"]);
    }
}
