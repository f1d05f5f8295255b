//! What a guest said, and the table of all of them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What came of one scenario under one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Ok,
    /// As expected where the kernel shows less.
    Unseen,
    /// Not as expected at first, but when it was run again.
    OkAgain,
    Fail,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unseen => "unseen",
            Self::OkAgain => "ok, 2nd boot",
            Self::Fail => "FAIL",
        }
    }
}

/// What came of one scenario: a scenario counts as its worst host.
#[derive(Debug)]
struct Row {
    scenario: String,
    verdict: Verdict,
    /// The lab's lines about what is not as expected.
    wrong: Vec<String>,
}

impl Row {
    fn failed(&self) -> bool {
        self.verdict == Verdict::Fail
    }

    /// What is wrong in one line: the first that the lab says below its row, else the row.
    fn reason(&self) -> &str {
        let said = self.wrong.iter().find(|line| line.starts_with(' ')).or(self.wrong.first());
        said.map_or("", |line| line.trim())
    }

    /// What came of it in two boots, and what is to be told of that. In the second it may not have been run.
    fn then(self, again: Option<Self>) -> (Self, Option<String>) {
        let failed = self.failed();
        let first = format!("{} (first: {})", self.scenario, self.reason());
        let (row, what) = match again {
            Some(again) if again.failed() => (again, "failed on both boots"),
            Some(again) if failed => {
                (Self { verdict: Verdict::OkAgain, ..again }, "passed on the second boot")
            }
            _ => (self, "not run on the second boot"),
        };
        (row, failed.then(|| format!("{what}: {first}")))
    }
}

/// What came of one kernel.
#[derive(Debug)]
pub(crate) struct Report {
    release: String,
    /// In the order in which the lab printed them.
    rows: Vec<Row>,
    /// What the daemon says it can and cannot see.
    coverage: Vec<String>,
    /// Whatever is to be told besides the table, though nothing need be wrong.
    remarks: Vec<String>,
    /// What went wrong besides the rows.
    problems: Vec<String>,
    /// The lab ran all that it was asked for.
    complete: bool,
    /// The lab ended well.
    succeeded: bool,
    took: Duration,
    /// Where the logs of each boot are.
    logs: Vec<PathBuf>,
}

impl Report {
    /// Nothing could be run.
    pub(crate) fn lost(name: &str, error: &anyhow::Error) -> Self {
        let mut report = Self::empty(name, Duration::ZERO);
        report.fail(error);
        report
    }

    /// Something went wrong of which the guest knows nothing.
    pub(crate) fn fail(&mut self, error: &anyhow::Error) {
        self.succeeded = false;
        self.problems.push(format!("{error:#}"));
    }

    /// Reads what the guest's init said.
    pub(crate) fn read(release: &str, log: &str, took: Duration, logs: &Path) -> Self {
        let mut report = Self::empty(release, took);
        report.logs.push(logs.to_owned());
        let (before, lab) = log.split_once("\n::: lab\n").unwrap_or((log, ""));
        report.coverage = before
            .lines()
            .filter_map(|line| line.strip_prefix("tracer_coverage{path=\""))
            .map(|line| line.replace("\"} ", " "))
            .collect();
        report.remarks = before
            .lines()
            .filter(|line| line.contains("WARN") || line.contains("ERROR"))
            .map(str::to_owned)
            .collect();
        report.read_rows(lab);
        let end = lab.lines().find_map(|line| line.strip_prefix("::: end "));
        report.succeeded = end == Some("0");
        if end.is_none() {
            let last = log.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("nothing");
            report.problems.push(format!("it did not end; its last words: {last}"));
        } else if report.rows.is_empty() {
            // Not the table of scenarios: something else was asked of the lab.
            let said = lab.lines().filter(|line| !line.starts_with("tracer-lab:"));
            report.remarks.extend(said.map(str::to_owned));
        }
        report
    }

    fn read_rows(&mut self, lab: &str) {
        let mut failing = None;
        for line in lab.lines() {
            if let Some((scenario, verdict)) = row(line) {
                let row = self.row_of(scenario);
                let at = &mut self.rows[row];
                at.verdict = verdict.max(at.verdict);
                failing = (verdict == Verdict::Fail).then_some(row);
            } else if !line.starts_with(' ') {
                failing = None;
            }
            // What is wrong is said below the row, indented.
            if let Some(row) = failing {
                self.rows[row].wrong.push(line.to_owned());
            }
            if line.starts_with("tracer-lab:") {
                self.problems.push(line.to_owned());
            }
            // The last line below the table.
            self.complete |= line.contains(" cases, ") && line.contains(" FAIL in ");
        }
    }

    fn row_of(&mut self, scenario: &str) -> usize {
        let known = self.rows.iter().position(|row| row.scenario == scenario);
        known.unwrap_or_else(|| {
            self.rows.push(Row { scenario: scenario.to_owned(), verdict: Verdict::Ok, wrong: Vec::new() });
            self.rows.len() - 1
        })
    }

    fn empty(release: &str, took: Duration) -> Self {
        Self {
            release: release.to_owned(),
            rows: Vec::new(),
            coverage: Vec::new(),
            remarks: Vec::new(),
            problems: Vec::new(),
            complete: false,
            succeeded: false,
            took,
            logs: Vec::new(),
        }
    }

    /// Everything was run and is as expected, if not at once.
    pub(crate) fn is_ok(&self) -> bool {
        self.succeeded && !self.rows.iter().any(Row::failed)
    }

    /// The scenarios to be run again; none if that is all of them, because more is wrong than rows of the table.
    pub(crate) fn to_run_again(&self) -> Vec<&str> {
        let failed = self.rows.iter().filter(|row| self.complete && row.failed());
        failed.map(|row| row.scenario.as_str()).collect()
    }

    /// What came of two boots, of which the second ran all that had failed.
    pub(crate) fn then(self, again: Self) -> Self {
        let mut remarks: Vec<_> =
            self.problems.iter().map(|problem| format!("the first boot: {problem}")).collect();
        let mut played_again = again.rows;
        let mut rows = Vec::new();
        for row in self.rows {
            let at = played_again.iter().position(|again| again.scenario == row.scenario);
            let (row, remark) = row.then(at.map(|at| played_again.remove(at)));
            rows.push(row);
            remarks.extend(remark);
        }
        rows.extend(played_again);
        Self {
            rows,
            remarks: [again.remarks, remarks].concat(),
            took: self.took + again.took,
            logs: [self.logs, again.logs].concat(),
            ..again
        }
    }

    /// What the table has no place for.
    pub(crate) fn details(&self) -> String {
        let mut text = format!("{}: {:.0} s", self.release, self.took.as_secs_f64());
        if self.logs.len() > 1 {
            text.push_str(" in two boots");
        }
        if !self.coverage.is_empty() {
            let _ = write!(text, ", sees {}", self.coverage.join(", "));
        }
        text.push('\n');
        let wrong = self.rows.iter().filter(|row| row.failed()).flat_map(|row| &row.wrong);
        for line in self.remarks.iter().chain(wrong) {
            let _ = writeln!(text, "    {line}");
        }
        for problem in &self.problems {
            let _ = writeln!(text, "    FAIL: {problem}");
        }
        if !self.is_ok() || self.logs.len() > 1 {
            for logs in &self.logs {
                let _ = writeln!(text, "    logs: {}", logs.display());
            }
        }
        text
    }
}

/// A row of the lab's table: the scenario, and what is said of one of its hosts.
fn row(line: &str) -> Option<(&str, Verdict)> {
    if line.starts_with(char::is_whitespace) {
        return None;
    }
    let verdict = match line.split_whitespace().next_back()? {
        "ok" => Verdict::Ok,
        "unseen" => Verdict::Unseen,
        "FAIL" => Verdict::Fail,
        _ => return None,
    };
    line.split_whitespace().next().map(|scenario| (scenario, verdict))
}

/// Scenarios by kernels.
pub(crate) fn table(reports: &[Report]) -> String {
    let mut scenarios: Vec<&str> = Vec::new();
    for row in reports.iter().flat_map(|report| &report.rows) {
        if !scenarios.contains(&row.scenario.as_str()) {
            scenarios.push(&row.scenario);
        }
    }
    if scenarios.is_empty() {
        return String::new();
    }
    let cell = |report: &Report, scenario: &str| {
        let row = report.rows.iter().find(|row| row.scenario == scenario);
        row.map_or("-", |row| row.verdict.word())
    };
    let width = |report: &Report| {
        let cells = report.rows.iter().map(|row| row.verdict.word().len());
        cells.chain([report.release.len()]).max().unwrap_or(0)
    };
    let mut text = String::new();
    let mut line = |head: &str, cells: &dyn Fn(&Report) -> String| {
        let mut line = format!("{head:<32}");
        for report in reports {
            let _ = write!(line, "  {:<width$}", cells(report), width = width(report));
        }
        let _ = writeln!(text, "{}", line.trim_end());
    };
    line("scenario", &|report| report.release.clone());
    for scenario in scenarios {
        line(scenario, &|report| cell(report, scenario).to_owned());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "::: tracer 6.1\n[2026 WARN tracer] probe x is not attached\ntracer_coverage{path=\"time_wait\"} 0\n\
        ::: lab\nscenario  host  wire  tracer  verdict\none   S   S→C R×2   sent   ok\none   C   S→C R   received   FAIL\n    \
        idle: wrong\ntwo   S   S→C R   nothing   unseen\ntwo   C   S→C R   received   ok\n2 cases, 1 ok, 1 FAIL in 3.0 s\n\
        tracer-lab: 1 of 2 cases\n::: end 1\n";
    /// What a second boot says that ran only what had failed.
    const AGAIN: &str = "::: tracer 6.1\n::: lab\nscenario  host  wire  tracer  verdict\none   S   S→C R×2   sent   ok\n\
        one   C   S→C R   received   ok\n1 cases, 1 ok, 0 FAIL in 1.0 s\n::: end 0\n";

    fn first(log: &str) -> Report {
        Report::read("6.1", log, Duration::from_secs(9), Path::new("/logs/first"))
    }

    fn second(log: &str) -> Report {
        Report::read("6.1", log, Duration::from_secs(4), Path::new("/logs/second"))
    }

    #[test]
    fn a_log_is_read() {
        let report = first(LOG);
        assert!(!report.is_ok());
        let details = "6.1: 9 s, sees time_wait 0\n    [2026 WARN tracer] probe x is not attached\n    \
            one   C   S→C R   received   FAIL\n        idle: wrong\n    FAIL: tracer-lab: 1 of 2 cases\n    logs: /logs/first\n";
        assert_eq!(report.details(), details);
    }

    #[test]
    fn what_passes_on_the_second_boot_is_told_so_and_is_no_failure() {
        let report = first(LOG);
        assert_eq!(report.to_run_again(), ["one"]);
        let report = report.then(second(AGAIN));
        assert!(report.is_ok());
        let details = "6.1: 13 s in two boots\n    the first boot: tracer-lab: 1 of 2 cases\n    \
            passed on the second boot: one (first: idle: wrong)\n    logs: /logs/first\n    logs: /logs/second\n";
        assert_eq!(report.details(), details);
        let table = "scenario                          6.1\n\
            one                               ok, 2nd boot\n\
            two                               unseen\n";
        assert_eq!(crate::vm::report::table(&[report]), table);
    }

    #[test]
    fn what_fails_twice_or_is_not_played_again_is_a_failure() {
        let wrong_again =
            AGAIN.replace("received   ok", "received   FAIL\n    race: wrong").replace("end 0", "end 1");
        let not_played = "::: tracer 6.1\n::: lab\n::: end 1\n";
        for (log, remark, reason) in [
            (&*wrong_again, "failed on both boots: one (first: idle: wrong)", "race: wrong"),
            (not_played, "not run on the second boot: one (first: idle: wrong)", "idle: wrong"),
        ] {
            let report = first(LOG).then(second(log));
            assert!(!report.is_ok());
            let details = report.details();
            assert!(
                details.contains(remark) && details.contains(&format!("        {reason}\n")),
                "{details}"
            );
            assert!(table(&[report]).contains("one                               FAIL"));
        }
    }

    #[test]
    fn a_boot_that_was_cut_short_is_played_again_as_a_whole() {
        let short = LOG.replace("2 cases, 1 ok, 1 FAIL in 3.0 s\ntracer-lab: 1 of 2 cases\n::: end 1\n", "");
        let whole = LOG
            .replace("FAIL\n    idle: wrong", "ok")
            .replace("tracer-lab: 1 of 2 cases\n::: end 1", "::: end 0");
        assert!(first(&short).to_run_again().is_empty());
        let report = first(&short).then(second(&whole));
        assert!(report.is_ok());
        let remark = "the first boot: it did not end; its last words: two   C   S→C R   received   ok\n";
        assert!(report.details().contains(remark), "{}", report.details());
        assert!(table(&[report]).contains(
            "one                               ok, 2nd boot\ntwo                               unseen\n"
        ));
    }

    #[test]
    fn kernels_stand_side_by_side() {
        let fine = LOG.replace("FAIL\n    idle: wrong", "ok").replace("end 1", "end 0");
        let reports =
            [LOG, &fine, ""].map(|log| Report::read("6.1.0-9", log, Duration::ZERO, Path::new("/logs")));
        let table = "scenario                          6.1.0-9  6.1.0-9  6.1.0-9\n\
            one                               FAIL     ok       -\n\
            two                               unseen   unseen   -\n";
        assert_eq!(crate::vm::report::table(&reports), table);
        assert_eq!(reports.each_ref().map(Report::is_ok), [false, true, false]);
    }
}
