//! A Prometheus that scrapes over TLS, with a certificate and a password, and others that lack one of them.

use std::fs;

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use tracer_lab::testbed::certificates::{Certificates, PASSWORD, web_configuration};
use tracer_lab::testbed::daemon::{DaemonUnderTest, command};
use tracer_lab::testbed::permit::may_run;
use tracer_lab::testbed::wait::until;

use crate::server::{Prometheus, target};

/// Of each job: its certificate, if it has one, and its password.
const JOBS: [(&str, Option<&str>, &str); 4] = [
    ("right", Some("client"), PASSWORD),
    ("wrong-password", Some("client"), "guess"),
    ("wrong-name", Some("server"), PASSWORD),
    ("no-certificate", None, PASSWORD),
];

#[test]
fn prometheus_scrapes_with_certificate_and_password_and_not_without() -> Result<()> {
    if !may_run("prometheus")? {
        return Ok(());
    }
    let files = Certificates::of(&["server", "client"])?;
    let file = files.replace("web.yml", &web_configuration("prometheus"))?;
    let file = file.to_str().context("a temporary directory with a strange name")?;
    let tracer = DaemonUnderTest::unasked(command(&[], &["--events", "off", "--web-config", file]))?;

    let directory = TempDir::new().context("no temporary directory for Prometheus")?;
    for name in ["ca.pem", "server.pem", "server.key", "client.pem", "client.key"] {
        fs::copy(files.file(name), directory.path().join(name))?;
    }
    let jobs: String = JOBS.into_iter().map(|job| scrape(job, tracer.port)).collect();
    let configuration = format!("global: {{scrape_interval: 1s}}\nscrape_configs:\n{jobs}");
    let prometheus = Prometheus::configured(directory, &configuration, "up{job=\"right\"} == 1")?;

    let instance = target(tracer.port);
    let label = |job: &str| format!("{instance} {job}");
    let expected = JOBS.iter().map(|&(job, ..)| (label(job), f64::from(u8::from(job == "right")))).collect();
    until("all jobs to have scraped", || Ok((prometheus.query("up")?.len() == JOBS.len()).then_some(())))?;
    assert_eq!(prometheus.query("max_over_time(up[5m])")?, expected);
    let version = prometheus.query("count by (instance, job) (tracer_build_info)")?;
    assert_eq!(version, [(label("right"), 1.0)].into());
    Ok(())
}

fn scrape((job, certificate, password): (&str, Option<&str>, &str), port: u16) -> String {
    let certificate = certificate.map_or_else(String::new, |name| {
        format!("\n      cert_file: {name}.pem\n      key_file: {name}.key")
    });
    format!(
        "  - job_name: {job}
    scheme: https
    basic_auth: {{username: prometheus, password: {password}}}
    tls_config:
      ca_file: ca.pem
      server_name: server.example{certificate}
    static_configs:
      - targets: ['{}']
",
        target(port)
    )
}
