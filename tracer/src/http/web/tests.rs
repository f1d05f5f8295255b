//! Files as people write them, right and wrong; clients with and without certificates; and changes of the files.

use std::{fs, net::Ipv4Addr, path::Path, sync::Arc};

use anyhow::{Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    version::{TLS12, TLS13},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsConnector;

use super::{Protection, Settings, Web, file::Reader};

/// Of the word `password`, at the lowest cost.
const HASH: &str = "$2b$04$6ZH8UehT.NowzBpTcX2nA.h6f78zB4OVhEr7XCSHglu28Li8BQQ6W";

/// A directory with certificates.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(TempDir::new().unwrap());
        for (authority, owners) in [("ca", &["server", "client"][..]), ("other-ca", &["stranger"])] {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
            files.write(&format!("{authority}.pem"), &issuer.pem());
            for owner in owners {
                let mut params = CertificateParams::new([format!("{owner}.example")]).unwrap();
                params.subject_alt_names.push(SanType::IpAddress(Ipv4Addr::new(10, 0, 0, 5).into()));
                let uri = format!("spiffe://example/{owner}").try_into().unwrap();
                params.subject_alt_names.push(SanType::URI(uri));
                let key = KeyPair::generate().unwrap();
                files.write(&format!("{owner}.pem"), &params.signed_by(&key, &issuer).unwrap().pem());
                files.write(&format!("{owner}.key"), &key.serialize_pem());
            }
        }
        files
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).unwrap()
    }

    fn settings(&self, text: &str) -> Result<Settings> {
        self.write("web.yml", text);
        Settings::read(&self.0.path().join("web.yml"), &mut Reader::default())
    }
}

/// With further lines in the section.
fn tls(more: &str) -> String {
    format!("tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n{more}")
}

fn protection(encrypted: bool, certificate: bool, password: bool) -> Protection {
    Protection { encrypted, certificate, password }
}

#[test]
fn a_file_says_who_is_let_in_and_may_leave_out_everything() {
    let files = Files::new();
    let inline = format!(
        "tls_server_config: {{cert: {:?}, key: {:?}, cert_file: ''}}",
        files.read("server.pem"),
        files.read("server.key")
    );
    let all = tls(&format!(
        "  client_ca_file: ca.pem
  client_auth_type: RequireAndVerifyClientCert
  client_allowed_sans: [client.example, 10.0.0.5, 'spiffe://example/client']
  min_version: TLS12
  max_version: TLS13
  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]
  prefer_server_cipher_suites: false
  curve_preferences: [CurveP256, X25519]
http_server_config:
  http2: true
  headers:
    X-Frame-Options: deny
    Strict-Transport-Security: max-age=31536000
    X-XSS-Protection:
      ''
basic_auth_users:
  anna: {HASH}
rate_limit:
  interval: 1s
  burst: 20
"
    ));
    for (text, expected) in [
        ("", protection(false, false, false)),
        ("# nothing\n", protection(false, false, false)),
        ("{}", protection(false, false, false)),
        ("basic_auth_users:\n", protection(false, false, false)),
        ("tls_server_config:\nrate_limit:\nhttp_server_config:\n", protection(false, false, false)),
        (&format!("basic_auth_users:\n  anna: {HASH}\n"), protection(false, false, true)),
        (&tls(""), protection(true, false, false)),
        (&inline, protection(true, false, false)),
        (
            &tls("  client_ca_file: ca.pem\n  client_auth_type: VerifyClientCertIfGiven\n"),
            protection(true, false, false),
        ),
        (&all, protection(true, true, true)),
    ] {
        let settings = files.settings(text).unwrap_or_else(|error| panic!("{text}: {error:#}"));
        assert_eq!(settings.protection(), expected, "{text}");
    }
    assert_eq!(files.settings(&all).unwrap().headers.len(), 2, "an empty one is not set");
}

#[test]
fn what_strangers_can_do_is_warned_of() {
    const OPEN: Option<&str> = Some("reads everything");
    for (encrypted, certificate, password, expected) in [
        (false, false, false, OPEN),
        (true, false, false, OPEN),
        (false, false, true, Some("unencrypted")),
        (true, false, true, None),
        (true, true, false, None),
        (true, true, true, None),
    ] {
        let protection = protection(encrypted, certificate, password);
        let warning = protection.warning();
        assert_eq!(warning.is_some(), expected.is_some(), "{protection:?}: {warning:?}");
        assert!(warning.zip(expected).is_none_or(|(warning, word)| warning.contains(word)), "{warning:?}");
    }
}

#[test]
fn the_readmes_example_can_be_used() {
    let files = Files::new();
    files.write("clients.pem", &files.read("ca.pem"));
    let readme = include_str!("../../../../README.md");
    let (_, example) = readme.split_once("```yaml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let settings = files.settings(&example.replace("$2y$10$...", HASH)).unwrap();
    assert_eq!(settings.protection(), protection(true, true, true));
}

#[test]
fn what_is_wrong_is_told_in_one_line_that_has_no_secret() {
    let files = Files::new();
    files.write("large.pem", &"x".repeat(2 << 20));
    let key_as_certificate = tls("").replace("server.pem", "server.key");
    let keys_mixed_up = tls("").replace("server.key", "client.key");
    for (text, sentence) in [
        ("basic_auth_user: {}", "unknown field `basic_auth_user`"),
        ("tls_server_config: {certificate: a}", "unknown field `certificate`"),
        ("basic_auth_users: secret", "web.yml cannot be used"),
        ("basic_auth_users: {anna: secret", "web.yml cannot be used"),
        ("basic_auth_users: {anna: secret}", "the password of anna is no bcrypt hash"),
        ("basic_auth_users: {anna: a, anna: b}", "duplicate"),
        ("\tsecret", "web.yml cannot be used"),
        ("tls_server_config: {key: secret}", "cert or cert_file is missing"),
        ("tls_server_config: {cert_file: server.pem}", "key or key_file is missing"),
        ("tls_server_config: {client_auth_type: NoClientCert}", "cert or cert_file is missing"),
        ("tls_server_config: {cert_file: nowhere.pem}", "cannot read"),
        ("tls_server_config: {cert_file: large.pem}", "has more than 1048576 bytes"),
        ("tls_server_config: {cert_file: /dev/zero}", "it is no file"),
        ("tls_server_config: {cert: a, cert_file: server.pem}", "cert and cert_file exclude each other"),
        (&key_as_certificate, "cert has no PEM of its kind"),
        (&keys_mixed_up, "certificate and key do not belong together"),
        (&tls("  client_ca_file: ca.pem\n"), "a client_ca needs client_auth_type"),
        (&tls("  client_auth_type: RequireAndVerifyClientCert\n"), "needs client_ca or client_ca_file"),
        (&tls("  client_auth_type: RequireAnyClientCert\n"), "RequireAnyClientCert verifies nothing"),
        (&tls("  client_auth_type: Always\n"), "client_auth_type must be"),
        (&tls("  client_allowed_sans: [a]\n"), "client_allowed_sans needs client_auth_type"),
        (
            &tls("  client_ca_file: ca.pem\n  client_auth_type: VerifyClientCertIfGiven\n  \
                 client_allowed_sans: [anna@example.com]\n"),
            "e-mail address anna@example.com",
        ),
        (&tls("  min_version: TLS11\n"), "the version TLS11 is not supported"),
        (&tls("  min_version: TLS13\n  max_version: TLS12\n"), "min_version is above max_version"),
        (&tls("  cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]\n"), "TLS_RSA_WITH_RC4_128_SHA is not supported"),
        (&tls("  curve_preferences: [CurveP521]\n"), "the curve CurveP521 is not supported"),
        ("http_server_config: {headers: {Server: tracer}}", "the header Server cannot be set"),
        ("http_server_config: {headers: {X-Frame-Options: allow}}", "must be deny or sameorigin"),
        ("http_server_config: {http2: perhaps}", "web.yml cannot be used"),
        ("rate_limit: {interval: 1s}", "burst must be 1 or more"),
        ("rate_limit: {interval: soon, burst: 1}", "must be a duration"),
    ] {
        let error = files.settings(text).err().unwrap_or_else(|| panic!("{text} is taken"));
        let told = format!("{error:#}");
        assert!(told.contains(sentence), "{text}: {told}");
        assert!(!told.contains('\n') && !told.contains("secret"), "{told}");
    }
    let gone = Web::open(Some(Path::new("/nowhere/web.yml"))).err().unwrap();
    assert!(format!("{gone:#}").starts_with("cannot read /nowhere/web.yml: "), "{gone:#}");
}

#[tokio::test]
async fn clients_are_let_in_by_their_certificate() {
    let files = Files::new();
    let section = |policy: &str, names: &str| {
        tls(&format!(
            "  client_ca_file: ca.pem\n  client_auth_type: {policy}\n  client_allowed_sans: [{names}]\n"
        ))
    };
    let [must, may] = ["RequireAndVerifyClientCert", "VerifyClientCertIfGiven"];
    for (text, client, let_in) in [
        (tls(""), None, true),
        (section(must, ""), Some("client"), true),
        (section(must, ""), Some("stranger"), false),
        (section(must, ""), None, false),
        (section(may, ""), Some("client"), true),
        (section(may, ""), Some("stranger"), false),
        (section(may, ""), None, true),
        (section(must, "'other.example', 'client.example'"), Some("client"), true),
        (section(must, "10.0.0.5"), Some("client"), true),
        (section(must, "'spiffe://example/client'"), Some("client"), true),
        (section(must, "'spiffe://example/other', 10.0.0.6, other.example, example"), Some("client"), false),
        (section(may, "other.example"), Some("client"), false),
    ] {
        let settings = files.settings(&text).unwrap();
        assert_eq!(connect(&files, settings, client).await.is_ok(), let_in, "{client:?}: {text}");
    }
}

/// Says hello through TLS and hears it again.
async fn connect(files: &Files, settings: Settings, client: Option<&str>) -> Result<()> {
    const HELLO: &[u8] = b"hello";
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await?;
        let mut stream = settings.tls.unwrap().accept(stream).await?;
        let mut heard = [0; HELLO.len()];
        stream.read_exact(&mut heard).await?;
        stream.write_all(&heard).await?;
        anyhow::Ok(stream.shutdown().await?)
    });
    let mut stream = connector(files, client)
        .connect(ServerName::try_from("server.example")?, TcpStream::connect(address).await?)
        .await?;
    stream.write_all(HELLO).await?;
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).await?;
    ensure!(heard == HELLO, "heard {heard:?}");
    server.await?
}

fn connector(files: &Files, client: Option<&str>) -> TlsConnector {
    let certificate =
        |name: &str| CertificateDer::from_pem_slice(files.read(&format!("{name}.pem")).as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate("ca")).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS12, &TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let config = match client {
        None => config.with_no_client_auth(),
        Some(name) => {
            let key = files.read(&format!("{name}.key"));
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            config.with_client_auth_cert(vec![certificate(name)], key).unwrap()
        }
    };
    TlsConnector::from(Arc::new(config))
}
