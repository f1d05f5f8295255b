//! What a capture shows of the exchanges of a connection.

use std::net::SocketAddr;
use std::time::Duration;

use crate::testbed::capture::Segment;

/// How long the connection had idled before each request; nothing before the first one.
pub(crate) fn requests(
    segments: &[Segment],
    client: SocketAddr,
    server: SocketAddr,
) -> Vec<Option<Duration>> {
    let mut requests = Vec::new();
    let mut before: Option<&Segment> = None;
    for segment in segments.iter().filter(|segment| segment.payload > 0) {
        let ends = (segment.source, segment.destination);
        if ends == (client, server) && before.is_none_or(|before| before.source == server) {
            requests.push(before.map(|before| segment.time.saturating_sub(before.time)));
        }
        if ends == (client, server) || ends == (server, client) {
            before = Some(segment);
        }
    }
    requests
}
