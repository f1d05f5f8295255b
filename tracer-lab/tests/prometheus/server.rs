//! A Prometheus that reads this repository's configuration and scrapes one tracer.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tracer_lab::testbed::http;
use tracer_lab::testbed::process::{Process, bounded};
use tracer_lab::testbed::wait::until;

use crate::text;

/// A running Prometheus, ended when dropped.
pub(crate) struct Prometheus {
    process: Process,
    port: u16,
    /// Goes after the process that writes there.
    _directory: TempDir,
}

/// The samples of an instant query, by the values of their labels in the order of the labels' names.
pub(crate) type Answer = BTreeMap<String, f64>;

/// A rule that Prometheus has loaded.
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) expression: String,
    pub(crate) is_alert: bool,
}

impl Prometheus {
    /// Starts it and waits until it has scraped the tracer at this port.
    pub(crate) fn start(tracer: u16) -> Result<Self> {
        let directory = TempDir::new().context("no temporary directory for Prometheus")?;
        for file in ["rules.yml", "alerts.yml"] {
            fs::write(directory.path().join(file), text(&format!("deploy/prometheus/{file}"))?)?;
        }
        let configuration = text("deploy/prometheus/prometheus.yml")?
            .replace("localhost:8000", &target(tracer))
            .replace("scrape_interval: 15s", "scrape_interval: 1s");
        ensure!(configuration.contains(&target(tracer)), "the configuration names another target");
        Self::configured(directory, &configuration, "up == 1")
    }

    /// Starts it in a directory with this configuration, and waits until an expression has samples.
    pub(crate) fn configured(directory: TempDir, configuration: &str, ready: &str) -> Result<Self> {
        fs::write(directory.path().join("prometheus.yml"), configuration)?;
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        // Should the test be killed, no Prometheus outlives it for long.
        let mut command = bounded("prometheus", 300);
        command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=storage", "--log.level=error"]);
        command.arg(format!("--web.listen-address=127.0.0.1:{port}")).current_dir(directory.path());
        let process = Process::start(command.stdin(Stdio::null())).context("(Debian package prometheus)")?;
        let mut prometheus = Self { process, port, _directory: directory };
        until("Prometheus to scrape the tracer", || {
            if let Some(status) = prometheus.process.ended()? {
                bail!("Prometheus ended at once ({status})");
            }
            let is_up = http::get(port, "/-/ready").is_ok_and(|answer| answer.status == 200);
            Ok((is_up && !prometheus.query(ready)?.is_empty()).then_some(()))
        })?;
        Ok(prometheus)
    }

    /// What an expression is now.
    pub(crate) fn query(&self, expression: &str) -> Result<Answer> {
        let answer = self.ask(&format!("/api/v1/query?query={}", encoded(expression)))?;
        let samples = answer["result"].as_array().context("no samples")?;
        samples.iter().map(sample).collect::<Result<Answer>>().with_context(|| expression.to_owned())
    }

    /// All rules.
    pub(crate) fn rules(&self) -> Result<Vec<Rule>> {
        let answer = self.ask("/api/v1/rules")?;
        let groups = answer["groups"].as_array().context("no groups")?;
        let rules = groups.iter().filter_map(|group| group["rules"].as_array()).flatten();
        let read = |rule: &Value| {
            let field = |name: &str| rule[name].as_str().map(str::to_owned).context("a rule lacks a field");
            let is_alert = rule["type"] == "alerting";
            Ok(Rule { name: field("name")?, expression: field("query")?, is_alert })
        };
        rules.map(read).collect()
    }

    fn ask(&self, path: &str) -> Result<Value> {
        let answer = http::get(self.port, path)?;
        let mut value: Value = serde_json::from_slice(&answer.body)?;
        ensure!(value["status"] == "success", "Prometheus refuses {path}: {value}");
        Ok(value["data"].take())
    }
}

/// How Prometheus knows the tracer at this port.
pub(crate) fn target(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn sample(sample: &Value) -> Result<(String, f64)> {
    let labels = sample["metric"].as_object().context("a sample without labels")?;
    let labels: BTreeMap<_, _> = labels.iter().filter(|(name, _)| *name != "__name__").collect();
    let words: Vec<_> = labels.values().filter_map(|value| value.as_str()).collect();
    let value = sample["value"][1].as_str().context("a sample without a value")?;
    Ok((words.join(" "), value.parse()?))
}

fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        let _ = write!(encoded, "%{byte:02X}");
    }
    encoded
}
