//! The comparison, as a table.

use std::fmt;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::servers::setting::Setting;
use crate::servers::software::Software;
use crate::servers::watch::Inferred;

/// How far an inferred timeout may be from what clients saw.
const TOLERANCE: f64 = 0.02;

/// What came of every server.
pub struct Table(pub(crate) Vec<Row>);

/// What came of one.
pub(crate) struct Row {
    setting: Setting,
    version: String,
    closes: usize,
    /// What its clients saw, in seconds: the shortest, the median and the longest.
    seen: [f64; 3],
    inferred: Inferred,
}

impl Row {
    pub(crate) fn new(setting: &Setting, version: String, closes: &[Duration], inferred: Inferred) -> Self {
        let mut idle = closes.to_vec();
        idle.sort_unstable();
        let at = |index: usize| idle.get(index).map_or(f64::NAN, Duration::as_secs_f64);
        let seen = [at(0), at(idle.len() / 2), at(idle.len().wrapping_sub(1))];
        Self { setting: *setting, version, closes: closes.len(), seen, inferred }
    }

    /// How far the worse end is off, in parts of what the clients saw; nothing where an end shows no timeout.
    fn error(&self) -> Option<f64> {
        let off = |&gauge: &Option<f64>| Some((gauge? / self.truth() - 1.0).abs());
        let [server, client] = &self.inferred.gauges;
        Some(off(server)?.max(off(client)?))
    }

    /// Ours closes when it is told to; of others, only their clients know.
    fn truth(&self) -> f64 {
        if self.setting.software == Software::Plain {
            self.setting.timeout.as_secs_f64()
        } else {
            self.seen[1]
        }
    }

    fn is_ok(&self) -> bool {
        self.error().is_some_and(|error| error <= TOLERANCE)
    }
}

impl Table {
    /// Every timeout was found, and is the true one.
    pub fn is_ok(&self) -> Result<()> {
        let wrong: Vec<_> =
            self.0.iter().filter(|row| !row.is_ok()).map(|row| row.setting.to_string()).collect();
        ensure!(wrong.is_empty(), "timeouts are not as the clients saw them: {}", wrong.join("; "));
        Ok(())
    }

    /// Not even our own servers closed on time.
    pub(crate) fn is_disturbed(&self) -> bool {
        let mut own = self.0.iter().filter(|row| row.setting.software == Software::Plain);
        own.any(|row| row.seen[2] / row.truth() - 1.0 > TOLERANCE)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = [
            "server and setting",
            "version",
            "clients saw",
            "(spread)",
            "at server",
            "at client",
            "needed",
            "after",
            "error",
        ];
        line(out, &columns.map(str::to_owned))?;
        for row in &self.0 {
            let [shortest, median, longest] = row.seen;
            let seconds =
                |value: Option<f64>| value.map_or("none".to_owned(), |value| format!("{value:.3} s"));
            let [server, client] = row.inferred.gauges.map(seconds);
            let (closes, after) = row.inferred.needed.map_or_else(Default::default, |(closes, after)| {
                (format!("{closes} of {}", row.closes), format!("{:.1} s", after.as_secs_f64()))
            });
            let error = row.error().map_or_else(
                || "FAIL".to_owned(),
                |error| format!("{:.2} %{}", error * 100.0, if row.is_ok() { "" } else { " FAIL" }),
            );
            let spread = format!("±{:.0} ms", (longest - shortest) * 500.0);
            line(
                out,
                &[
                    row.setting.to_string(),
                    row.version.clone(),
                    format!("{median:.3} s"),
                    spread,
                    server,
                    client,
                    closes,
                    after,
                    error,
                ],
            )?;
        }
        Ok(())
    }
}

fn line(out: &mut fmt::Formatter<'_>, cells: &[String; 9]) -> fmt::Result {
    let [setting, version, saw, spread, server, client, closes, after, error] = cells;
    writeln!(
        out,
        "{setting:<46} {version:<8} {saw:>11} {spread:>9} {server:>10} {client:>10} {closes:>9} {after:>7}  {error}"
    )
}
