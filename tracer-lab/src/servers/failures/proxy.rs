//! How each proxy is configured: a pool of its own for each walker, and a log of what the server's side ended.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::servers::failures::upstream::Speaks;
use crate::servers::failures::walk::Plan;

pub(crate) fn nginx(endpoint: SocketAddr, speaks: Speaks, plan: &Plan, scripts: &Path) -> String {
    let mut text = String::new();
    let keeps =
        plan.remedy.as_ref().and_then(|remedy| remedy.line("nginx")).unwrap_or("keepalive_timeout 60s;");
    for walker in 0..plan.walkers {
        let server = plan.server;
        let _ =
            writeln!(text, "upstream u{walker} {{ server {server} max_fails=0; keepalive 1;\n{keeps}\n}}");
    }
    let patience = plan.patience;
    let _ = writeln!(
        text,
        "server {{
listen {endpoint};
keepalive_timeout 60s;
keepalive_requests 100000;"
    );
    let scheme = if speaks == Speaks::Https { "https" } else { "http" };
    for walker in 0..plan.walkers {
        let _ = match speaks {
            Speaks::Http | Speaks::Https | Speaks::Http2 | Speaks::Own => writeln!(
                text,
                "location /w{walker}/ {{ proxy_pass {scheme}://u{walker}; proxy_http_version 1.1;
proxy_set_header Connection \"\"; proxy_next_upstream off; proxy_request_buffering off;
proxy_connect_timeout {patience}ms; proxy_read_timeout {patience}ms; }}"
            ),
            Speaks::FastCgi => writeln!(
                text,
                "location /w{walker}/ {{ fastcgi_pass u{walker}; fastcgi_keep_conn on; fastcgi_next_upstream off;
fastcgi_param REQUEST_URI $request_uri; fastcgi_param REQUEST_METHOD $request_method;
fastcgi_param SCRIPT_FILENAME {}/answer.php; fastcgi_read_timeout {patience}ms; }}",
                scripts.display()
            ),
        };
    }
    text.push('}');
    text
}

pub(crate) fn haproxy(endpoint: SocketAddr, speaks: Speaks, plan: &Plan) -> String {
    let patience = plan.patience;
    let mut text = format!(
        "global
    nbthread 1
    log stdout format raw local0
defaults
    mode http
    log global
    log-format \"lost %ts %bi %bp %HP\"
    timeout client 60s
    timeout http-keep-alive 60s
    timeout connect {patience}ms
    timeout server {patience}ms
    retries 0
    http-reuse always
frontend lab
    bind {endpoint}
    use_backend %[path,field(2,/)]
"
    );
    let keeps =
        plan.remedy.as_ref().and_then(|remedy| remedy.line("HAProxy")).unwrap_or("pool-purge-delay 60s");
    let tls = if speaks == Speaks::Https { "ssl verify none" } else { "" };
    for walker in 0..plan.walkers {
        let _ = writeln!(text, "backend w{walker}\n    server s {} {tls} {keeps}", plan.server);
    }
    text
}

/// Its log has the flags of each response: `UC` where the upstream's connection ended, `UF` where there was none.
pub(crate) fn envoy(endpoint: SocketAddr, speaks: Speaks, plan: &Plan, log: &Path) -> String {
    const TYPE: &str = "\"@type\": type.googleapis.com/envoy.extensions";
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
    let mut text = format!(
        "static_resources:
  listeners:
  - address: {}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          {TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: lab
          access_log:
          - name: envoy.access_loggers.file
            typed_config:
              {TYPE}.access_loggers.file.v3.FileAccessLog
              path: {}
              log_format:
                text_format_source:
                  inline_string: \"lost %RESPONSE_FLAGS% %UPSTREAM_LOCAL_ADDRESS% %REQ(:PATH)%\\n\"
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
    );
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

fn as_yaml(address: SocketAddr) -> String {
    format!("{{ socket_address: {{ address: {}, port_value: {} }} }}", address.ip(), address.port())
}
