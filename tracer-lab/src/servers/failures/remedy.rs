//! What the tracer advises, followed to the letter: the lines that it names go into the configuration of the software
//! that lost requests.

use std::net::SocketAddr;

use serde::Serialize;
use serde_json::Value;

/// What whoever asks a server is to change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Remedy {
    /// It closes connections that were idle for so long, in milliseconds.
    pub(crate) closes: u64,
    /// The lines of proxies.
    #[serde(skip)]
    lines: Vec<(String, String)>,
}

impl Remedy {
    /// Out of all that is advised, what a client of this server is told.
    pub(crate) fn find(advice: &Value, server: SocketAddr) -> Option<Self> {
        let server = server.to_string();
        let about = |one: &&Value| one["server"] == *server && one["role"] == "client";
        let suggested = &advice.as_array()?.iter().find(about)?["suggested"];
        let seconds = suggested["client_timeout_seconds"].as_f64()?;
        let lines = suggested["settings"].as_array()?.iter().filter(|one| one["side"] == "client");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let lines = lines.map(|one| (text(&one["software"]), text(&one["setting"]))).collect();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a timeout")]
        Some(Self { closes: (seconds * 1e3) as u64, lines })
    }

    /// The line for this software.
    pub(crate) fn line(&self, software: &str) -> Option<&str> {
        self.lines.iter().find(|(name, _)| name == software).map(|(_, line)| line.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_told_what_stands_in_the_advice_on_its_server() {
        let advice = serde_json::json!([
            { "server": "10.0.0.1:80", "role": "server", "suggested": { "client_timeout_seconds": 9.0, "settings": [] } },
            { "server": "10.0.0.1:80", "role": "client", "suggested": {
                "client_timeout_seconds": 0.5,
                "settings": [
                    { "software": "nginx", "side": "server", "setting": "keepalive_timeout 65s;" },
                    { "software": "nginx", "side": "client", "setting": "keepalive_timeout 500ms;" },
                ],
            } },
        ]);
        let remedy = |server: &str| Remedy::find(&advice, server.parse().unwrap());
        let found = remedy("10.0.0.1:80").unwrap();
        assert_eq!((found.closes, found.line("nginx")), (500, Some("keepalive_timeout 500ms;")));
        assert_eq!(found.line("HAProxy"), None);
        assert_eq!(remedy("10.0.0.2:80"), None);
    }
}
