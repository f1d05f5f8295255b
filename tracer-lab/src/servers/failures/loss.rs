//! What an application says of a request that it lost.

use std::net::SocketAddr;
use std::time::Instant;

use crate::servers::failures::walk::Answer;
use crate::servers::failures::wire::id_in;

/// A request that failed.
#[derive(Clone, Debug)]
pub(crate) struct Loss {
    pub(crate) id: u64,
    /// In the application's words.
    pub(crate) said: String,
    /// Its end of the connection, if it says so.
    pub(crate) client: Option<SocketAddr>,
    /// When it was known.
    pub(crate) at: Option<Instant>,
    /// The application is a client of the proxy, which closed its connection without a word.
    pub(crate) at_proxy: bool,
}

impl Loss {
    /// Of a walker of ours.
    pub(crate) fn of(answer: &Answer) -> Option<Self> {
        let said = answer.got.as_ref().err()?.clone();
        Some(Self { id: answer.id, said, client: answer.client, at: Some(answer.at), at_proxy: false })
    }
}

/// A line of nginx's error log about an upstream.
pub(crate) fn nginx(line: &str) -> Option<Loss> {
    let (_, rest) = line.split_once(" [error] ").or_else(|| line.split_once(" [crit] "))?;
    let (said, request) = rest.split_once(", client: ")?;
    // `123#123: *45 upstream timed out …`
    let (_, said) = said.split_once(": *")?;
    let (_, said) = said.split_once(' ')?;
    (request.contains("upstream: ")).then_some(())?;
    Some(Loss { id: id_in(request)?, said: said.to_owned(), client: None, at: None, at_proxy: false })
}

/// A line of `HAProxy`'s log about a request that the server's side ended. Its termination state begins with the party
/// that did, in small letters for a timeout, and goes on with the phase: C for connecting, H for headers, D for data.
pub(crate) fn haproxy(line: &str) -> Option<Loss> {
    let mut words = line.strip_prefix("lost ")?.split(' ');
    let [state, address, port, path] = [words.next()?, words.next()?, words.next()?, words.next()?];
    let by_server = state.starts_with(['S', 's']);
    let client = address.parse().ok().zip(port.parse().ok()).filter(|(_, port)| *port != 0);
    by_server.then_some(Loss {
        id: id_in(path)?,
        said: state.to_owned(),
        client: client.map(|(address, port)| SocketAddr::new(address, port)),
        at: None,
        at_proxy: false,
    })
}

/// A line of Envoy's log about a request that the server's side ended: its connection was closed or could not be had,
/// its stream was reset, or it kept Envoy waiting.
pub(crate) fn envoy(line: &str) -> Option<Loss> {
    let mut words = line.strip_prefix("lost ")?.split(' ');
    let [flags, client, path] = [words.next()?, words.next()?, words.next()?];
    let by_server = flags.split(',').any(|flag| matches!(flag, "UC" | "UF" | "UR" | "UT" | "UPE"));
    by_server.then_some(Loss {
        id: id_in(path)?,
        said: flags.to_owned(),
        client: client.parse().ok(),
        at: None,
        at_proxy: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nginx_names_the_request_in_its_error() {
        let line = "2026/11/27 00:41:35 [error] 12#12: *45 recv() failed (104: Connection reset by peer) while reading \
                    response header from upstream, client: 10.77.2.1, server: , request: \"GET /w3/x12/ok HTTP/1.1\", \
                    upstream: \"http://10.77.1.1:20001/w3/x12/ok\", host: \"lab\"";
        let loss = nginx(line).unwrap();
        assert_eq!(loss.id, 12);
        assert_eq!(
            loss.said,
            "recv() failed (104: Connection reset by peer) while reading response header from upstream"
        );
        assert!(nginx("2026/11/27 00:41:35 [notice] 12#12: signal process started").is_none());
    }

    #[test]
    fn haproxy_says_who_ended_a_request_and_when() {
        let end = |line: &str| haproxy(line).map(|loss| (loss.said, loss.client.map(|client| client.port())));
        assert_eq!(end("lost SH 10.77.2.1 4711 /w3/x12/ok"), Some(("SH".into(), Some(4711))));
        assert_eq!(end("lost SC - - /w3/x12/ok"), Some(("SC".into(), None)));
        assert_eq!(end("lost -- 10.77.2.1 4711 /w3/x12/ok"), None);
        assert_eq!(end("lost CD 10.77.2.1 4711 /w3/x12/ok"), None);
    }

    #[test]
    fn envoy_says_by_flags_why_a_request_was_lost() {
        let end = |line: &str| envoy(line).map(|loss| (loss.id, loss.client.map(|client| client.port())));
        assert_eq!(end("lost UC 10.77.2.1:4711 /w3/x12/ok"), Some((12, Some(4711))));
        assert_eq!(end("lost UF,URX - /w3/x12/ok"), Some((12, None)));
        assert_eq!(end("lost - 10.77.2.1:4711 /w3/x12/ok"), None);
        assert_eq!(end("lost DC 10.77.2.1:4711 /w3/x12/ok"), None);
    }
}
