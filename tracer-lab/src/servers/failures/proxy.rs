//! How each proxy is configured: a pool of its own for each walker, and a log of what the server's side ended.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

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
