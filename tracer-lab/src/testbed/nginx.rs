//! nginx with a configuration of ours.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::testbed::host::Host;

/// Writes the configuration `name` around these directives of `http` into `directory`, over an earlier one, and returns
/// the command line.
pub(crate) fn configure(directory: &Path, name: &str, http: &str) -> Result<Vec<String>> {
    configure_workers(directory, name, "1", http)
}

/// The same with `workers` worker processes.
pub(crate) fn configure_workers(
    directory: &Path,
    name: &str,
    workers: &str,
    http: &str,
) -> Result<Vec<String>> {
    let files = directory.display();
    let configuration = format!(
        "user root;
daemon off;
worker_processes {workers};
pid {files}/{name}.pid;
events {{ worker_connections 512; }}
http {{
access_log off;
client_body_temp_path {files}/{name}-client_body;
proxy_temp_path {files}/{name}-proxy;
fastcgi_temp_path {files}/{name}-fastcgi;
scgi_temp_path {files}/{name}-scgi;
uwsgi_temp_path {files}/{name}-uwsgi;
{http}
}}
"
    );
    let file = |suffix: &str| directory.join(format!("{name}.{suffix}"));
    fs::write(file("conf"), configuration)?;
    let words =
        ["nginx", "-e", &file("error").display().to_string(), "-c", &file("conf").display().to_string()];
    Ok(words.map(str::to_owned).to_vec())
}

/// Lets the nginx of this command line read its configuration again: connections that are idle then are closed.
pub(crate) fn reload(host: &Host, words: &[String]) -> Result<()> {
    let reload =
        || Command::new(&words[0]).args(&words[1..]).args(["-s", "reload"]).status().context("no nginx");
    ensure!(host.enter(reload)?.success(), "nginx cannot be reloaded");
    Ok(())
}
