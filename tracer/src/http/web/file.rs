//! The file of `--web-config`, in the format of Prometheus' exporter-toolkit.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

/// Upper bound on each file: what is larger is no configuration.
const MAX_BYTES: usize = 1 << 20;

/// What the file says. It cannot be printed, as it has secrets.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct File {
    pub(super) tls_server_config: Option<TlsSection>,
    pub(super) http_server_config: Option<HttpSection>,
    pub(super) basic_auth_users: Option<BTreeMap<String, String>>,
    pub(super) rate_limit: Option<RateSection>,
}

/// `tls_server_config`. Certificates and keys are PEM, here or in files.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TlsSection {
    pub(super) cert: Option<String>,
    pub(super) key: Option<String>,
    pub(super) client_ca: Option<String>,
    pub(super) cert_file: Option<PathBuf>,
    pub(super) key_file: Option<PathBuf>,
    pub(super) client_ca_file: Option<PathBuf>,
    pub(super) client_auth_type: Option<String>,
    pub(super) client_allowed_sans: Option<Vec<String>>,
    pub(super) min_version: Option<String>,
    pub(super) max_version: Option<String>,
    pub(super) cipher_suites: Option<Vec<String>>,
    pub(super) prefer_server_cipher_suites: Option<bool>,
    pub(super) curve_preferences: Option<Vec<String>>,
}

/// `http_server_config`.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct HttpSection {
    /// Read and left: HTTP/1.1 is all that is spoken, and every client of HTTP/2 speaks it.
    #[serde(rename = "http2")]
    pub(super) _http2: Option<bool>,
    pub(super) headers: Option<BTreeMap<String, String>>,
}

/// `rate_limit`.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RateSection {
    pub(super) interval: Option<String>,
    pub(super) burst: Option<u32>,
}

impl File {
    pub(super) fn parse(text: &str) -> Result<Self> {
        // A snippet of the text would show secrets in the log.
        let options = serde_saphyr::options! { with_snippet: false };
        let file: Option<Self> = serde_saphyr::from_str_with_options(text, options)?;
        Ok(file.unwrap_or_default())
    }
}

/// A file, and what changes whenever it does: its inode, when that was changed last, and its size. Nothing where they
/// cannot be seen.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) file: PathBuf,
    stamp: Option<(u64, i64, i64, u64)>,
}

impl Version {
    /// The one that there is now.
    pub(super) fn of(file: PathBuf) -> Self {
        let seen = fs::metadata(&file).ok();
        let stamp = seen.map(|seen| (seen.ino(), seen.ctime(), seen.ctime_nsec(), seen.size()));
        Self { file, stamp }
    }
}

/// Reads files, those with a relative name beside the first, and remembers which, also those it could not read.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) files: Vec<Version>,
}

impl Reader {
    pub(super) fn read(&mut self, name: &Path) -> Result<String> {
        let beside = self.files.first().and_then(|first| first.file.parent());
        let path = beside.map_or_else(|| name.to_owned(), |folder| folder.join(name));
        // Before it is read: what is written meanwhile is another version.
        self.files.push(Version::of(path.clone()));
        read(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// What stands in the file, or in place of it.
    pub(super) fn either(
        &mut self,
        what: &str,
        text: Option<&String>,
        file: Option<&PathBuf>,
    ) -> Result<Option<String>> {
        // Toolkits write what is not set as an empty string.
        let text = text.filter(|text| !text.is_empty());
        match (text, file.filter(|file| !file.as_os_str().is_empty())) {
            (Some(_), Some(_)) => anyhow::bail!("{what} and {what}_file exclude each other"),
            (Some(text), None) => Ok(Some(text.clone())),
            (None, Some(file)) => self.read(file).map(Some),
            (None, None) => Ok(None),
        }
    }
}

fn read(path: &Path) -> Result<String> {
    // Whoever opens a pipe would wait.
    ensure!(fs::metadata(path)?.is_file(), "it is no file");
    let mut text = String::new();
    fs::File::open(path)?.take(MAX_BYTES as u64 + 1).read_to_string(&mut text)?;
    ensure!(text.len() <= MAX_BYTES, "it has more than {MAX_BYTES} bytes");
    Ok(text)
}
