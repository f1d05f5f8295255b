//! `--web-config`: who is let in, as curl sees it; what changes while the daemon runs; and what it warns of.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use tracer_lab::testbed::certificates::{Certificates, HASH, web_configuration};
use tracer_lab::testbed::daemon::{DaemonUnderTest, command, run};
use tracer_lab::testbed::http::get;
use tracer_lab::testbed::wait::until;

use crate::turn;

/// TLS fails: there is no answer.
const NOTHING: Option<u16> = None;
const STARTED: &str = "tracing TCP resets";

/// A daemon with a log that can be read while it runs.
pub(crate) struct Protected {
    pub(crate) daemon: DaemonUnderTest,
    log: PathBuf,
}

impl Protected {
    fn start(directory: &Certificates, flags: &[&str]) -> Result<Self> {
        let log = directory.file("log");
        let mut command = command(&[], &[&["--events", "off"], flags].concat());
        command.stderr(File::create(&log)?);
        let daemon = DaemonUnderTest::unasked(command)?;
        let protected = Self { daemon, log };
        protected.says(STARTED)?;
        Ok(protected)
    }

    pub(crate) fn of(files: &Certificates, configuration: &str) -> Result<Self> {
        let file = files.replace("web.yml", configuration)?;
        Self::start(files, &["--web-config", path(&file)?])
    }

    fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.log)?)
    }

    fn says(&self, words: &str) -> Result<()> {
        until(words, || Ok(self.log()?.contains(words).then_some(())))
    }

    /// The status of what curl gets with these arguments, trusting this authority.
    pub(crate) fn curl(&self, authority: &Path, arguments: &str) -> Result<Option<u16>> {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "30", "--cacert"]);
        curl.arg(authority).args(arguments.split_whitespace());
        curl.arg(format!("https://localhost:{}/api/v1/incidents", self.daemon.port));
        // Certificates are named without their directory.
        curl.current_dir(authority.parent().context("an authority without a directory")?);
        let output = curl.output().context("cannot run curl (Debian package curl)")?;
        let status: u16 = String::from_utf8(output.stdout)?.parse()?;
        ensure!(output.status.success() == (status != 0), "curl {arguments} ended with {}", output.status);
        Ok((status != 0).then_some(status))
    }
}

fn path(file: &Path) -> Result<&str> {
    file.to_str().context("a temporary directory with a strange name")
}

#[test]
fn clients_need_a_certificate_with_the_name_and_a_password() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    let files = Certificates::of(&["server", "client"])?;
    let strangers = Certificates::of(&["client"])?;
    let daemon = Protected::of(&files, &web_configuration("anna"))?;
    let client = "--cert client.pem --key client.key";
    let [certificate, key] = ["client.pem", "client.key"].map(|name| strangers.file(name));
    // More than a request's head may have.
    let long = "x".repeat(20_000);
    let stranger = format!("--cert {} --key {}", path(&certificate)?, path(&key)?);
    for (arguments, status) in [
        (format!("{client} -u anna:password"), Some(200)),
        (format!("{client} -u anna:password --tls-max 1.2"), Some(200)),
        (format!("{client} -u anna:password -H Host:evil.example"), Some(421)),
        (format!("{client} -u anna:password -H X:{long}"), Some(431)),
        (format!("{client} -u anna:guess"), Some(401)),
        (format!("{client} -u anna:"), Some(401)),
        (format!("{client} -u bert:password"), Some(401)),
        (client.to_owned(), Some(401)),
        (format!("{client} -u anna:password --tls-max 1.1"), NOTHING),
        (String::from("--cert server.pem --key server.key -u anna:password"), NOTHING),
        (format!("{stranger} -u anna:password"), NOTHING),
        (String::from("-u anna:password"), NOTHING),
    ] {
        assert_eq!(daemon.curl(&files.file("ca.pem"), &arguments)?, status, "{arguments}");
    }
    ensure!(get(daemon.daemon.port, "/-/healthy").is_err(), "it answers without TLS");
    Ok(())
}

#[test]
fn every_connection_shows_its_certificate_anew_and_speaks_http_1() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    let files = Certificates::of(&["server", "client"])?;
    let daemon = Protected::of(&files, &web_configuration("anna"))?;
    for version in ["-tls1_2", "-tls1_3"] {
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", "-reconnect", version, "-alpn", "h2,http/1.1", "-verify_return_error"]);
        openssl.args(["-CAfile", "ca.pem", "-cert", "client.pem", "-key", "client.key", "-connect"]);
        openssl.arg(format!("localhost:{}", daemon.daemon.port)).stdin(Stdio::null());
        openssl.current_dir(files.file("ca.pem").parent().context("files without a directory")?);
        let told = String::from_utf8(openssl.output().context("(Debian package openssl)")?.stdout)?;
        let lines = |start: &str| told.lines().filter(|line| line.starts_with(start)).count();
        // Once, and five times more.
        assert_eq!((lines("New, "), lines("Reused, ")), (6, 0), "{version}: {told}");
        assert!(told.contains("ALPN protocol: http/1.1"), "{version}: {told}");
    }
    Ok(())
}

#[test]
fn changes_are_taken_while_it_runs_and_what_is_wrong_changes_nothing() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    let files = Certificates::of(&["server", "client"])?;
    let daemon = Protected::of(&files, &web_configuration("anna"))?;
    let ask = |authority: &str, user: &str| {
        let arguments = format!("--cert client.pem --key client.key -u {user}:password");
        daemon.curl(&files.file(authority), &arguments)
    };
    let becomes = |authority: &str, user: &str| {
        until("the change to be taken", || Ok((ask(authority, user)? == Some(200)).then_some(())))
    };
    becomes("ca.pem", "anna")?;

    files.replace("web.yml", &web_configuration("bert"))?;
    becomes("ca.pem", "bert")?;
    assert_eq!(ask("ca.pem", "anna")?, Some(401));

    // A certificate of another authority in the place of the old one; clients keep theirs.
    let others = Certificates::of(&["server"])?;
    for (name, from) in [("others.pem", "ca.pem"), ("server.key", "server.key"), ("server.pem", "server.pem")]
    {
        files.replace(name, &fs::read_to_string(others.file(from))?)?;
    }
    becomes("others.pem", "bert")?;
    assert_eq!(ask("ca.pem", "bert")?, NOTHING);

    for (wrong, words) in [
        ("basic_auth_user:\n", "stays as it was: the web configuration"),
        ("", "changes with a restart only"),
    ] {
        fs::write(files.file("web.yml"), wrong)?;
        daemon.says(words)?;
        assert_eq!(ask("others.pem", "bert")?, Some(200), "{wrong:?}");
        assert_eq!(ask("others.pem", "anna")?, Some(401), "{wrong:?}");
    }
    Ok(())
}

#[test]
fn files_are_read_again_where_their_links_lead_now() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    let files = Certificates::of(&["server", "client"])?;
    // As Kubernetes mounts a secret: each file is a link through another one, which leads to what is valid now.
    let mounted = files.file("mounted");
    let version = |name: &str, user: &str| -> Result<()> {
        let directory = mounted.join(name);
        fs::create_dir_all(&directory)?;
        for file in ["ca.pem", "server.pem", "server.key"] {
            fs::copy(files.file(file), directory.join(file))?;
        }
        fs::write(directory.join("web.yml"), web_configuration(user))?;
        symlink(name, mounted.join("..new"))?;
        Ok(fs::rename(mounted.join("..new"), mounted.join("..data"))?)
    };
    version("..1", "anna")?;
    for file in ["ca.pem", "server.pem", "server.key", "web.yml"] {
        symlink(Path::new("..data").join(file), mounted.join(file))?;
    }
    let daemon = Protected::start(&files, &["--web-config", path(&mounted.join("web.yml"))?])?;
    let becomes = |user: &str| {
        let client = format!("--cert client.pem --key client.key -u {user}:password");
        until(user, || Ok((daemon.curl(&files.file("ca.pem"), &client)? == Some(200)).then_some(())))
    };
    becomes("anna")?;
    version("..2", "bert")?;
    fs::remove_dir_all(mounted.join("..1"))?;
    becomes("bert")
}

#[test]
fn what_its_user_cannot_read_is_used_until_a_restart() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    let files = Certificates::of(&["server", "client"])?;
    fs::set_permissions(files.file("server.key"), Permissions::from_mode(0o600))?;
    let daemon = Protected::of(&files, &web_configuration("anna"))?;
    daemon.says("changes of the web configuration need a restart")?;
    ensure!(daemon.log()?.contains("server.key: Permission denied"), "{}", daemon.log()?);
    let client = "--cert client.pem --key client.key -u anna:password";
    assert_eq!(daemon.curl(&files.file("ca.pem"), client)?, Some(200));
    Ok(())
}

#[test]
fn a_file_that_cannot_be_used_ends_the_start_with_a_sentence() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    let files = Certificates::of(&[])?;
    for (text, words) in [
        ("basic_auth_user:\n", ["cannot be used", "unknown field `basic_auth_user`"]),
        ("tls_server_config: {cert_file: a.pem, key_file: a.key}\n", ["cannot read", "a.pem"]),
        ("basic_auth_users: {anna: password}\n", ["cannot be used", "anna is no bcrypt hash"]),
    ] {
        let file = files.replace("web.yml", text)?;
        run(command(&[], &["--web-config", path(&file)?]))?.is_one_sentence(&words);
    }
    let missing = files.file("missing.yml");
    run(command(&[], &["--web-config", path(&missing)?]))?.is_one_sentence(&["cannot read", "missing.yml"]);
    Ok(())
}

#[test]
fn it_warns_where_strangers_can_connect_and_nothing_keeps_them_out() -> Result<()> {
    let Some(_turn) = turn::beside_others() else { return Ok(()) };
    let files = Certificates::of(&["server"])?;
    let password = format!("basic_auth_users: {{anna: {HASH}}}\n");
    let encrypted = "tls_server_config: {cert_file: server.pem, key_file: server.key}\n";
    let both = format!("{encrypted}{password}");
    for (address, configuration, warning) in [
        ("127.0.0.1", None, None),
        ("127.0.0.1", Some(&*password), None),
        ("0.0.0.0", None, Some("whoever reaches it reads everything")),
        ("::", None, Some("whoever reaches it reads everything")),
        ("0.0.0.0", Some(encrypted), Some("whoever reaches it reads everything")),
        ("0.0.0.0", Some(&*password), Some("passwords cross the network unencrypted")),
        ("0.0.0.0", Some(&*both), None),
        ("0.0.0.0", Some(&*web_configuration("anna")), None),
    ] {
        let mut flags = vec![String::from("--listen-address"), address.to_owned()];
        if let Some(text) = configuration {
            flags.extend([String::from("--web-config"), path(&files.replace("web.yml", text)?)?.to_owned()]);
        }
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        let daemon = Protected::start(&files, &flags)?;
        let log = daemon.log()?;
        let warned = log.lines().find(|line| line.contains("is not on loopback"));
        match warning {
            Some(words) => ensure!(warned.is_some_and(|line| line.contains(words)), "{address}: {log}"),
            None => ensure!(warned.is_none(), "{address}: {log}"),
        }
    }
    Ok(())
}
