//! The line to change, for the software that is likely at either end.

use std::time::Duration;

use serde::Serialize;

use super::ages::agree;
use crate::model::Role;

/// How some software names its idle timeout.
struct Software {
    name: &'static str,
    /// Which end of the connection it is.
    end: Role,
    /// Its defaults in seconds, of all its versions; empty where it has none.
    defaults: &'static [u64],
    /// The line that sets it, for a value.
    line: fn(Duration) -> String,
    /// It runs nowhere but in somebody's cloud, counts in whole seconds, and takes 1 at least.
    cloud: bool,
}

/// Ports of protocols that are no HTTP: mail, directories, databases, caches, queues.
const OTHER_PROTOCOLS: [u16; 32] = [
    21, 22, 25, 110, 143, 389, 465, 587, 636, 993, 995, 1433, 1521, 1883, 2181, 3306, 4222, 5432, 5671, 5672,
    6379, 6380, 6432, 8883, 9042, 9092, 11211, 26379, 27017, 27018, 27019, 33060,
];

/// One line to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Setting {
    /// Whose setting it is.
    pub(crate) software: &'static str,
    /// `server` or `client`.
    pub(crate) side: &'static str,
    /// The line as it stands in that software's configuration.
    #[serde(rename = "setting")]
    pub(crate) line: String,
    /// The timeout that was seen is this software's default.
    pub(crate) likely: bool,
}

/// Who keeps connections, and where that is set. Node keeps them for 5 s by default, for 65 s in the newest releases;
/// and newer ones (20.20, not 18.20) a second longer than the setting says.
const SOFTWARE: [Software; 17] = [
    server("Node.js", &[5, 6, 65, 66], |t| format!("server.keepAliveTimeout = {}", t.as_millis())),
    server("nginx", &[75], |t| format!("keepalive_timeout {};", short(t))),
    server("gunicorn", &[2], |t| format!("--keep-alive {}", t.as_secs())),
    server("uvicorn", &[5], |t| format!("--timeout-keep-alive {}", t.as_secs())),
    server("Apache", &[5], |t| format!("KeepAliveTimeout {}", t.as_secs())),
    server("HAProxy", &[], |t| format!("timeout http-keep-alive {}", short(t))),
    server("Envoy", &[3600], |t| envoy("HTTP connection manager", t)),
    Software { cloud: true, ..server("ALB", &[60], alb) },
    server("Go", &[], |t| format!("http.Server{{IdleTimeout: {} * time.Millisecond}}", t.as_millis())),
    server("Kestrel", &[130], |t| {
        format!("options.Limits.KeepAliveTimeout = TimeSpan.FromSeconds({})", t.as_secs())
    }),
    client("nginx", &[60], |t| format!("keepalive_timeout {};  # in the upstream block", short(t))),
    client("Node.js", &[], |t| format!("new http.Agent({{ keepAlive: true, timeout: {} }})", t.as_millis())),
    client("undici", &[4], |t| {
        format!("new Agent({{ keepAliveTimeout: {0}, keepAliveMaxTimeout: {0} }})", t.as_millis())
    }),
    client("HAProxy", &[], |_| {
        String::from("pool-max-conn 0  # on the server line: it has no such timeout, so keep none")
    }),
    client("Envoy", &[3600], |t| envoy("cluster's HttpProtocolOptions", t)),
    Software { cloud: true, ..client("ALB", &[60], alb) },
    client("Go", &[90], |t| {
        format!("http.Transport{{IdleConnTimeout: {} * time.Millisecond}}", t.as_millis())
    }),
];

/// Whether a server on this port may speak HTTP.
#[must_use]
pub(super) fn is_http_possible(port: u16) -> bool {
    !OTHER_PROTOCOLS.contains(&port)
}

const fn server(name: &'static str, defaults: &'static [u64], line: fn(Duration) -> String) -> Software {
    Software { name, end: Role::Server, defaults, line, cloud: false }
}

const fn client(name: &'static str, defaults: &'static [u64], line: fn(Duration) -> String) -> Software {
    Software { name, end: Role::Client, defaults, line, cloud: false }
}

fn envoy(place: &str, timeout: Duration) -> String {
    format!("common_http_protocol_options: {{ idle_timeout: {}s }}  # of the {place}", timeout.as_secs_f64())
}

fn alb(timeout: Duration) -> String {
    format!("idle_timeout.timeout_seconds = {}", timeout.as_secs())
}

/// As nginx and `HAProxy` write it.
fn short(timeout: Duration) -> String {
    match timeout.subsec_millis() {
        0 => format!("{}s", timeout.as_secs()),
        _ => format!("{}ms", timeout.as_millis()),
    }
}

/// The lines that set the idle timeout of one end to `timeout`, where this host has `role`; first those of the software
/// whose default is what was `seen` there.
#[must_use]
pub(super) fn settings(end: Role, role: Role, timeout: Duration, seen: Option<Duration>) -> Vec<Setting> {
    let is_this_host = end == role;
    let fits = |software: &&Software| !software.cloud || (!is_this_host && timeout >= Duration::from_secs(1));
    let is_default = |software: &Software| {
        seen.is_some_and(|seen| software.defaults.iter().any(|&s| agree(seen, Duration::from_secs(s))))
    };
    let mut settings: Vec<_> = SOFTWARE
        .iter()
        .filter(|software| software.end == end)
        .filter(fits)
        .map(|software| Setting {
            software: software.name,
            side: end.name(),
            line: (software.line)(timeout),
            likely: is_default(software),
        })
        .collect();
    settings.sort_by_key(|setting| !setting.likely);
    settings
}
