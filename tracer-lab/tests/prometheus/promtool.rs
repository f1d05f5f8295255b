//! Rules and alerts under Prometheus's own tool, and the runbooks that belong to them.

use std::collections::HashSet;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tracer_lab::workspace;

use crate::text;

const ALERTS: &str = "deploy/prometheus/alerts.yml";
const RUNBOOKS: &str = "docs/runbooks.md";

fn promtool(arguments: &str) -> Result<()> {
    let output = Command::new("promtool")
        .args(arguments.split(' '))
        .current_dir(workspace::root().join("deploy/prometheus"))
        .output()
        .context("cannot run promtool (Debian package prometheus)")?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    ensure!(output.status.success(), "promtool {arguments}: {said}");
    Ok(())
}

#[test]
fn promtool_accepts_configuration_and_rules() -> Result<()> {
    promtool("check config prometheus.yml")?;
    promtool("check rules --lint-fatal rules.yml alerts.yml")
}

#[test]
fn rules_record_what_their_tests_say() -> Result<()> {
    promtool("test rules tests/rules.yml")
}

#[test]
fn alerts_fire_when_their_tests_say() -> Result<()> {
    promtool("test rules tests/alerts.yml")
}

#[test]
fn every_alert_is_tested_to_fire_and_not_to_fire() -> Result<()> {
    let tests = text("deploy/prometheus/tests/alerts.yml")?;
    let (mut fires, mut stays) = (HashSet::new(), HashSet::new());
    for case in tests.split("- alertname: ").skip(1) {
        let name = case.lines().next().unwrap_or_default();
        if case.contains("exp_alerts: []") {
            stays.insert(name)
        } else {
            fires.insert(name)
        };
    }
    for alert in alerts(&text(ALERTS)?) {
        assert!(fires.contains(alert), "{alert} is not tested to fire");
        assert!(stays.contains(alert), "{alert} is not tested not to fire");
    }
    Ok(())
}

#[test]
fn every_alert_has_its_runbook() -> Result<()> {
    let (rules, runbooks) = (text(ALERTS)?, text(RUNBOOKS)?);
    for alert in alerts(&rules) {
        let url = format!("runbook_url: {RUNBOOKS}#{}\n", alert.to_lowercase());
        assert!(rules.contains(&url), "{alert} does not name its runbook");
    }
    let headings: Vec<_> = runbooks.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(headings, alerts(&rules));
    Ok(())
}

fn alerts(rules: &str) -> Vec<&str> {
    let alerts: Vec<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(!alerts.is_empty());
    alerts
}
