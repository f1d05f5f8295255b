//! `--web-config`: who is let in, and how connections are encrypted.

mod file;
mod headers;
mod limit;
mod reload;
#[cfg(test)]
mod tests;
mod tls;
mod users;

use std::{path::Path, sync::Arc, time::Instant};

use anyhow::{Context as _, Result, ensure};
use arc_swap::ArcSwap;
use hyper::header::HeaderMap;

pub(super) use self::users::Access;
use self::{
    file::{File, Reader, Version},
    limit::Limit,
    tls::Tls,
    users::Users,
};

/// Who is let in, now.
pub(crate) struct Web {
    current: ArcSwap<Settings>,
    /// The file, and those it names when it was read first.
    files: Vec<Version>,
}

impl Web {
    /// Reads the configuration; without one everybody is let in.
    pub(crate) fn open(file: Option<&Path>) -> Result<Self> {
        let mut reader = Reader::default();
        let settings = match file {
            Some(file) => {
                let file = std::path::absolute(file).context("cannot tell the current directory")?;
                Settings::read(&file, &mut reader)?
            }
            None => Settings::new(&File::default(), &mut reader)?,
        };
        Ok(Self { current: ArcSwap::from_pointee(settings), files: reader.files })
    }

    pub(super) fn current(&self) -> Arc<Settings> {
        self.current.load_full()
    }

    /// Uses other settings from now on, if they protect no less.
    fn replace(&self, mut settings: Settings) -> Result<()> {
        let current = self.current();
        ensure!(
            settings.protection() == current.protection(),
            "whether TLS, passwords and client certificates are asked for changes with a restart only"
        );
        // A new certificate is no reason to check passwords again, nor to let guesses start anew.
        if settings.users.have_passwords_of(&current.users) {
            settings.users = Arc::clone(&current.users);
        }
        self.current.store(Arc::new(settings));
        Ok(())
    }
}

/// What a configuration comes to.
pub(super) struct Settings {
    pub(super) tls: Option<Tls>,
    users: Arc<Users>,
    /// What is added to every answer that does not have it.
    pub(super) headers: HeaderMap,
    limit: Option<Limit>,
}

impl Settings {
    fn read(file: &Path, reader: &mut Reader) -> Result<Self> {
        let text = reader.read(file)?;
        let parsed = File::parse(&text).and_then(|file| Self::new(&file, reader));
        parsed.with_context(|| format!("the web configuration {} cannot be used", file.display()))
    }

    fn new(file: &File, reader: &mut Reader) -> Result<Self> {
        let tls = file.tls_server_config.as_ref().map(|section| Tls::new(section, reader));
        let headers = file.http_server_config.as_ref().and_then(|section| section.headers.as_ref());
        let limit = file.rate_limit.as_ref().map(Limit::new);
        Ok(Self {
            tls: tls.transpose()?.flatten(),
            users: Arc::new(Users::new(file.basic_auth_users.clone().unwrap_or_default())?),
            headers: headers.map(headers::headers).transpose()?.unwrap_or_default(),
            limit: limit.transpose()?.flatten(),
        })
    }

    /// Whether the rate limit allows one more request now.
    pub(super) fn is_within_rate(&self) -> bool {
        self.limit.as_ref().is_none_or(|limit| limit.allows(Instant::now()))
    }

    /// Whether a request with these headers is let in.
    pub(super) async fn check(&self, headers: &HeaderMap) -> Access {
        self.users.check(headers).await
    }

    /// What protects these settings' answers from those who may not read them.
    fn protection(&self) -> Protection {
        Protection {
            encrypted: self.tls.is_some(),
            certificate: self.tls.as_ref().is_some_and(|tls| tls.asks_for_certificate),
            password: !self.users.is_empty(),
        }
    }
}

/// What stands between a stranger and the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Protection {
    encrypted: bool,
    certificate: bool,
    password: bool,
}

impl Protection {
    /// What is missing where more than this host can connect.
    fn warning(self) -> Option<&'static str> {
        match self {
            Self { certificate: false, password: false, .. } => Some(
                "whoever reaches it reads everything: have --web-config ask for passwords or client certificates",
            ),
            Self { encrypted: false, .. } => {
                Some("passwords cross the network unencrypted: add tls_server_config to --web-config")
            }
            _ => None,
        }
    }
}
