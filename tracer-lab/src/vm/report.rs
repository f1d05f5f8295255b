//! What a guest said, and the table of all of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

/// What came of one scenario under one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Ok,
    /// As expected where the kernel shows less.
    Unseen,
    Fail,
}

/// What came of one kernel.
#[derive(Debug)]
pub(crate) struct Report {
    release: String,
    /// By scenario; a scenario counts as its worst host.
    verdicts: BTreeMap<String, Verdict>,
    /// Scenarios in the order in which the lab printed them.
    order: Vec<String>,
    /// What the daemon says it can and cannot see.
    coverage: Vec<String>,
    /// Whatever is to be told besides the table.
    details: Vec<String>,
    /// The lab ended well.
    succeeded: bool,
    took: Duration,
}

impl Report {
    /// Nothing could be played.
    pub(crate) fn lost(name: &str, error: &anyhow::Error) -> Self {
        let mut report = Self::empty(name, Duration::ZERO);
        report.fail(error);
        report
    }

    /// Something went wrong of which the guest knows nothing.
    pub(crate) fn fail(&mut self, error: &anyhow::Error) {
        self.succeeded = false;
        self.details.push(format!("FAIL: {error:#}"));
    }

    /// Reads what the guest's init said.
    pub(crate) fn read(release: &str, log: &str, took: Duration, logs: &Path) -> Self {
        let mut report = Self::empty(release, took);
        let (before, lab) = log.split_once("\n::: lab\n").unwrap_or((log, ""));
        report.coverage = before
            .lines()
            .filter_map(|line| line.strip_prefix("tracer_coverage{path=\""))
            .map(|line| line.replace("\"} ", " "))
            .collect();
        report.details = before
            .lines()
            .filter(|line| line.contains("WARN") || line.contains("ERROR"))
            .map(str::to_owned)
            .collect();
        let mut failed = false;
        for line in lab.lines() {
            if let Some((scenario, verdict)) = row(line) {
                report.count(scenario, verdict);
                failed = verdict == Verdict::Fail;
            } else {
                // What is wrong is said below the row, indented.
                failed &= line.starts_with(' ');
            }
            if failed || line.starts_with("lab:") {
                report.details.push(line.to_owned());
            }
        }
        let end = lab.lines().find_map(|line| line.strip_prefix("::: end "));
        report.succeeded = end == Some("0");
        if end.is_none() {
            let last = log.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("nothing");
            report.details.push(format!(
                "FAIL: it did not end; its last words, of those in {}: {last}",
                logs.display()
            ));
        } else if report.order.is_empty() {
            // Not the table of scenarios: something else was asked of the lab.
            report.details.extend(lab.lines().map(str::to_owned));
        }
        report
    }

    fn empty(release: &str, took: Duration) -> Self {
        Self {
            release: release.to_owned(),
            verdicts: BTreeMap::new(),
            order: Vec::new(),
            coverage: Vec::new(),
            details: Vec::new(),
            succeeded: false,
            took,
        }
    }

    fn count(&mut self, scenario: &str, verdict: Verdict) {
        let worst = self.verdicts.entry(scenario.to_owned()).or_insert_with(|| {
            self.order.push(scenario.to_owned());
            Verdict::Ok
        });
        *worst = verdict.max(*worst);
    }

    /// Everything was played and is as expected.
    pub(crate) fn is_ok(&self) -> bool {
        self.succeeded && !self.verdicts.values().any(|verdict| *verdict == Verdict::Fail)
    }

    /// What the table has no place for.
    pub(crate) fn details(&self) -> String {
        let mut text = format!("{}: {:.0} s", self.release, self.took.as_secs_f64());
        if !self.coverage.is_empty() {
            let _ = write!(text, ", sees {}", self.coverage.join(", "));
        }
        text.push('\n');
        for line in &self.details {
            let _ = writeln!(text, "    {line}");
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
    let mut scenarios: Vec<&String> = Vec::new();
    for scenario in reports.iter().flat_map(|report| &report.order) {
        if !scenarios.contains(&scenario) {
            scenarios.push(scenario);
        }
    }
    if scenarios.is_empty() {
        return String::new();
    }
    let widths: Vec<usize> = reports.iter().map(|report| report.release.len().max(6)).collect();
    let mut text = format!("{:<18}", "scenario");
    for (report, width) in reports.iter().zip(&widths) {
        let _ = write!(text, "  {:<width$}", report.release);
    }
    let mut text = text.trim_end().to_owned() + "\n";
    for scenario in scenarios {
        let mut line = format!("{scenario:<18}");
        for (report, width) in reports.iter().zip(&widths) {
            let cell = match report.verdicts.get(scenario) {
                Some(Verdict::Ok) => "ok",
                Some(Verdict::Unseen) => "unseen",
                Some(Verdict::Fail) => "FAIL",
                None => "-",
            };
            let _ = write!(line, "  {cell:<width$}");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "::: tracer 6.1\n[2026 WARN tracer] probe x is not attached\ntracer_coverage{path=\"time_wait\"} 0\n\
        ::: lab\nscenario  host  wire  tracer  verdict\nA1   S   S→C R×2   sent   ok\nA1   C   S→C R   received   FAIL\n    \
        idle: wrong\nA2   S   S→C R   nothing   unseen\nA2   C   S→C R   received   ok\n2 cases, 1 ok, 1 FAIL in 3.0 s\n\
        lab: 1 of 2 cases\n::: end 1\n";

    #[test]
    fn a_log_is_read() {
        let report = Report::read("6.1", LOG, Duration::from_secs(9), Path::new("/logs"));
        assert!(!report.is_ok());
        let details = "6.1: 9 s, sees time_wait 0\n    [2026 WARN tracer] probe x is not attached\n    \
            A1   C   S→C R   received   FAIL\n        idle: wrong\n    lab: 1 of 2 cases\n";
        assert_eq!(report.details(), details);
    }

    #[test]
    fn kernels_stand_side_by_side() {
        let fine = LOG.replace("FAIL\n    idle: wrong", "ok").replace("end 1", "end 0");
        let reports =
            [LOG, &fine, ""].map(|log| Report::read("6.1.0-9", log, Duration::ZERO, Path::new("/logs")));
        let table = "scenario            6.1.0-9  6.1.0-9  6.1.0-9\n\
            A1                  FAIL     ok       -\n\
            A2                  unseen   unseen   -\n";
        assert_eq!(crate::vm::report::table(&reports), table);
        assert_eq!(reports.each_ref().map(Report::is_ok), [false, true, false]);
    }
}
