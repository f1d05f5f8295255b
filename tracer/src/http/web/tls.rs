//! TLS: versions 1.2 and 1.3, and which clients are let in by their certificate.

use std::{net::IpAddr, sync::Arc};

use anyhow::{Context as _, Result, bail, ensure};
use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    server::{NoClientAuth, NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use webpki::EndEntityCert;

use super::file::{Reader, TlsSection};

/// How connections are encrypted.
pub(in crate::http) struct Tls {
    acceptor: TlsAcceptor,
    /// Of these names a client's certificate must have one; all are let in where there is none.
    allowed_names: Vec<String>,
    /// Whether nobody is let in without a certificate.
    pub(super) asks_for_certificate: bool,
}

impl Tls {
    /// What the section asks for; nothing where it is empty.
    pub(super) fn new(section: &TlsSection, reader: &mut Reader) -> Result<Option<Self>> {
        let TlsSection { cert, key, client_ca, cert_file, key_file, client_ca_file, .. } = section;
        let certificate = reader.either("cert", cert.as_ref(), cert_file.as_ref())?;
        let key = reader.either("key", key.as_ref(), key_file.as_ref())?;
        let authorities = reader.either("client_ca", client_ca.as_ref(), client_ca_file.as_ref())?;
        let policy = section.client_auth_type.as_deref().unwrap_or_default();
        if certificate.is_none() && key.is_none() && authorities.is_none() && policy.is_empty() {
            return Ok(None);
        }
        let certificate = certificate.context("cert or cert_file is missing")?;
        let key = key.context("key or key_file is missing")?;
        let provider = Arc::new(provider(section)?);
        let clients = clients(policy, authorities.as_deref(), &provider)?;
        let (offers, asks) = (clients.offer_client_auth(), clients.client_auth_mandatory());
        let allowed_names = section.client_allowed_sans.clone().unwrap_or_default();
        ensure!(
            offers || allowed_names.is_empty(),
            "client_allowed_sans needs client_auth_type: RequireAndVerifyClientCert"
        );
        if let Some(mail) = allowed_names.iter().find(|name| name.contains('@') && !name.contains("://")) {
            bail!(
                "client_allowed_sans cannot have the e-mail address {mail}: name DNS names, addresses, URIs"
            );
        }
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| no_pem("key"))?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions(section)?)
            .context("cipher_suites, min_version and max_version leave nothing to speak")?
            .with_client_cert_verifier(clients)
            .with_single_cert(certificates("cert", &certificate)?, key)
            .context("certificate and key do not belong together")?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // No session is resumed: what a client's certificate is worth is told anew for each connection.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.ignore_client_order = section.prefer_server_cipher_suites.unwrap_or(true);
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Some(Self { acceptor, allowed_names, asks_for_certificate: asks }))
    }

    /// Encrypts a connection, unless the client is not to be let in.
    pub(in crate::http) async fn accept(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>> {
        let stream = self.acceptor.accept(stream).await?;
        let client = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        if let Some(client) = client.filter(|_| !self.allowed_names.is_empty()) {
            ensure!(self.allows(client)?, "a client's certificate has none of client_allowed_sans");
        }
        Ok(stream)
    }

    fn allows(&self, client: &CertificateDer<'_>) -> Result<bool> {
        let client = EndEntityCert::try_from(client)?;
        let has = |allowed: &String| match allowed.parse::<IpAddr>() {
            Ok(ip) => client.verify_is_valid_for_subject_name(&ServerName::from(ip)).is_ok(),
            Err(_) => client.valid_dns_names().chain(client.valid_uri_names()).any(|name| name == allowed),
        };
        Ok(self.allowed_names.iter().any(has))
    }
}

/// Which clients' certificates are asked for, and how they are verified.
fn clients(
    policy: &str,
    authorities: Option<&str>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>> {
    let must_have = match policy {
        "" | "NoClientCert" => {
            ensure!(authorities.is_none(), "a client_ca needs client_auth_type: RequireAndVerifyClientCert");
            return Ok(Arc::new(NoClientAuth));
        }
        "RequireAndVerifyClientCert" => true,
        "VerifyClientCertIfGiven" => false,
        "RequestClientCert" | "RequireAnyClientCert" | "RequireClientCert" => bail!(
            "client_auth_type {policy} verifies nothing: use RequireAndVerifyClientCert or \
             VerifyClientCertIfGiven"
        ),
        _ => bail!(
            "client_auth_type must be NoClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert"
        ),
    };
    let authorities = authorities.with_context(|| format!("{policy} needs client_ca or client_ca_file"))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates("client_ca", authorities)? {
        roots.add(certificate).context("a certificate of client_ca cannot be used")?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let verifier = if must_have { verifier } else { verifier.allow_unauthenticated() };
    verifier.build().context("client_ca cannot be used")
}

fn certificates(what: &str, pem: &str) -> Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let found = found.map_err(|_| no_pem(what))?;
    ensure!(!found.is_empty(), no_pem(what));
    Ok(found)
}

fn no_pem(what: &str) -> anyhow::Error {
    anyhow::anyhow!("{what} has no PEM of its kind")
}

/// What can be offered, as far as the section allows it. Suites of TLS 1.3 cannot be chosen.
fn provider(section: &TlsSection) -> Result<CryptoProvider> {
    let mut provider = ring::default_provider();
    let known = provider.cipher_suites.clone();
    if let Some(names) = section.cipher_suites.as_ref().filter(|names| !names.is_empty()) {
        provider.cipher_suites.retain(|suite| suite.tls13().is_some());
        for name in names {
            // Go's names, of which those of TLS 1.3 lack the version.
            let name_of = |suite: &rustls::SupportedCipherSuite| {
                format!("{:?}", suite.suite()).replace("TLS13_", "TLS_")
            };
            let suite = known.iter().find(|suite| name_of(suite) == *name);
            let suite = suite.with_context(|| format!("the cipher suite {name} is not supported"))?;
            if suite.tls13().is_none() {
                provider.cipher_suites.push(*suite);
            }
        }
    }
    if let Some(names) = section.curve_preferences.as_ref().filter(|names| !names.is_empty()) {
        let group = |name: &String| match name.as_str() {
            "X25519" => Ok(ring::kx_group::X25519),
            "CurveP256" => Ok(ring::kx_group::SECP256R1),
            "CurveP384" => Ok(ring::kx_group::SECP384R1),
            _ => bail!("the curve {name} is not supported: use X25519, CurveP256 or CurveP384"),
        };
        provider.kx_groups = names.iter().map(group).collect::<Result<_>>()?;
    }
    Ok(provider)
}

fn versions(section: &TlsSection) -> Result<Vec<&'static SupportedProtocolVersion>> {
    let version = |given: &Option<String>, default| match given.as_deref() {
        None | Some("") => Ok(default),
        Some("TLS12") => Ok(2),
        Some("TLS13") => Ok(3),
        Some(other) => bail!("the version {other} is not supported: use TLS12 or TLS13"),
    };
    let range = version(&section.min_version, 2)?..=version(&section.max_version, 3)?;
    ensure!(!range.is_empty(), "min_version is above max_version");
    Ok([(3, &TLS13), (2, &TLS12)]
        .into_iter()
        .filter(|(number, _)| range.contains(number))
        .map(|(_, version)| version)
        .collect())
}
