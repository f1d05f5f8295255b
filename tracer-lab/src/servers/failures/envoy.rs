//! Envoy, as a proxy and as a server. It is no Debian package.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::programs;
use crate::servers::failures::upstream::{KEEPS, Speaks};
use crate::servers::failures::walk::Plan;

const OPTIONS: &str = "--concurrency 1 --disable-hot-restart --log-level error --file-flush-interval-msec 20";
const TYPE: &str = "\"@type\": type.googleapis.com/envoy.extensions";

/// Whether it is here.
pub(crate) fn is_installed() -> bool {
    programs::find("envoy").is_some()
}

/// Its command line.
pub(crate) fn words(configuration: &Path) -> Result<String> {
    let file = configuration.to_str().context("a path that is no text")?;
    Ok(format!("envoy -c {file} {OPTIONS}"))
}

/// As a server that keeps idle connections for a while, and writes each path that it took into `taken`. By default it
/// would close six seconds after its timeout: five to drain the connection, one for the peer's FIN.
pub(crate) fn serving(endpoint: SocketAddr, taken: &Path) -> String {
    let keeps = format!(
        "common_http_protocol_options: {{ idle_timeout: {KEEPS}s }}
          drain_timeout: 0.01s
          delayed_close_timeout: 0s"
    );
    let routes = "              - match: { prefix: / }
                direct_response: { status: 200, body: { inline_string: ok } }
";
    listener(endpoint, taken, "%REQ(:PATH)%", &keeps) + routes
}

/// In front of a server, with a pool of its own for each walker. Its log has the flags of each response: `UC` where the
/// upstream's connection ended, `UF` where there was none.
pub(crate) fn in_front(endpoint: SocketAddr, speaks: Speaks, plan: &Plan, log: &Path) -> String {
    let patience = format!("{}s", Duration::from_millis(plan.patience).as_secs_f64());
    let keeps = plan.remedy.as_ref().and_then(|remedy| remedy.line("Envoy"));
    let keeps = keeps.unwrap_or("common_http_protocol_options: { idle_timeout: 60s }");
    let tls = match speaks {
        Speaks::Https => format!(
            "transport_socket:
      name: envoy.transport_sockets.tls
      typed_config: {{ {TYPE}.transport_sockets.tls.v3.UpstreamTlsContext }}"
        ),
        _ => String::new(),
    };
    let mut text = listener(endpoint, log, "lost %RESPONSE_FLAGS% %UPSTREAM_LOCAL_ADDRESS% %REQ(:PATH)%", "");
    for walker in 0..plan.walkers {
        let _ = writeln!(
            text,
            "              - match: {{ prefix: /w{walker}/ }}
                route: {{ cluster: w{walker}, timeout: {patience} }}"
        );
    }
    text.push_str("  clusters:\n");
    let server = as_yaml(plan.server);
    for walker in 0..plan.walkers {
        let _ = writeln!(
            text,
            "  - name: w{walker}
    connect_timeout: {patience}
    load_assignment:
      cluster_name: w{walker}
      endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {server} }} }}] }}]
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        {TYPE}.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{ http_protocol_options: {{}} }}
        {keeps}
    {tls}"
        );
    }
    text
}

/// Everything up to its routes. For each request it writes a `line` into `log`.
fn listener(endpoint: SocketAddr, log: &Path, line: &str, setting: &str) -> String {
    format!(
        "static_resources:
  listeners:
  - address: {}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          {TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: lab
          {setting}
          access_log:
          - name: envoy.access_loggers.file
            typed_config:
              {TYPE}.access_loggers.file.v3.FileAccessLog
              path: {}
              log_format: {{ text_format_source: {{ inline_string: \"{line}\\n\" }} }}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{ {TYPE}.filters.http.router.v3.Router }}
          route_config:
            virtual_hosts:
            - name: lab
              domains: [\"*\"]
              routes:
",
        as_yaml(endpoint),
        log.display()
    )
}

fn as_yaml(address: SocketAddr) -> String {
    format!("{{ socket_address: {{ address: {}, port_value: {} }} }}", address.ip(), address.port())
}
