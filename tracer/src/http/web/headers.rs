//! Headers that the configuration adds to every answer.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

/// Those that can be set, and what they can be set to, where that is a closed set.
const KNOWN: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

pub(super) fn headers(set: &BTreeMap<String, String>) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in set {
        let known = KNOWN.iter().find(|(known, _)| known == name);
        let (_, values) = known.with_context(|| format!("the header {name} cannot be set"))?;
        if value.is_empty() {
            continue;
        }
        ensure!(
            values.is_empty() || values.contains(&value.as_str()),
            "{name} must be {}",
            values.join(" or ")
        );
        let value =
            HeaderValue::from_str(value).with_context(|| format!("{name} cannot have such a value"))?;
        headers.insert(HeaderName::from_bytes(name.as_bytes())?, value);
    }
    Ok(headers)
}
