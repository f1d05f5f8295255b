//! Whether payload that meets a close begins a new request, or goes on with one that was answered already.
//!
//! TCP does not show where requests end. What does: a rest, segments that the other side answered one by one, and the
//! age at which the server is known to close.

use std::time::Duration;

use crate::{
    keepalive::Knowledge,
    matching::IDLE,
    model::{Role, Traffic},
};

/// A rest of this length shows a new request, whatever came before it: hardly any upload pauses for so long behind its
/// answer.
const LONG_REST: Duration = Duration::from_secs(1);

/// So many exchanges of one segment each way show that this connection speaks in such; fewer may be a refusal.
const SEVERAL: u32 = 3;

/// What is known of the payload before the one that met the close.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    /// From the last payload to the close, or to the next payload where that came first.
    pub rest: Duration,
    /// Segments with payload from the client.
    pub from_client: u32,
    /// Segments with payload from the server.
    pub from_server: u32,
}

/// What that payload was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reuse {
    /// A new request on a connection that was idle.
    Shown,
    /// More of the request that was answered.
    Continues,
    /// It cannot be told.
    NotShown,
}

/// Tells a new request from the rest of an old one.
pub(super) fn reuse(before: Before, knowledge: Knowledge) -> Reuse {
    let Before { rest, from_client, from_server } = before;
    let each_answered = from_client <= from_server;
    match () {
        () if rest >= IDLE && knowledge.agrees(rest) => Reuse::Shown,
        () if rest >= LONG_REST || (rest >= IDLE && each_answered) => Reuse::Shown,
        // Right behind a response: requests and responses of one segment each, as often as proves it.
        () if from_client == from_server && from_client >= SEVERAL => Reuse::Shown,
        // A server that closes behind its first answer refuses more often than it ends what goes on.
        () if rest < IDLE && (!each_answered || (from_client, from_server) == (1, 1)) => Reuse::Continues,
        () => Reuse::NotShown,
    }
}

/// Whether the client's last payload came right behind an answer, and more of it than an answer to each explains, as
/// the end with `role` saw it: more of a request that was answered already, or what a protocol says on its own account.
pub(super) fn goes_on(traffic: &Traffic, role: Role) -> bool {
    let (answered, pause) = match role {
        Role::Client => (traffic.received, traffic.last_sent.since(traffic.last_received)),
        Role::Server => (traffic.sent, traffic.last_received.since(traffic.last_sent)),
    };
    answered > 0 && pause < IDLE && more_than_answered(traffic, role)
}

/// Whether more segments came from the client than an answer to all but the last explains.
pub(super) fn more_than_answered(traffic: &Traffic, role: Role) -> bool {
    let (from_client, from_server) = traffic.segments(role);
    from_client > from_server.saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keepalive::Timeout;

    #[test]
    fn a_rest_answered_segments_or_the_servers_age_show_a_new_request() {
        let (unknown, age) = (Knowledge::default(), Duration::from_millis(300));
        let known = Knowledge {
            timeout: Some(Timeout { lower: age, upper: age, jitter: Duration::ZERO, samples: 20 }),
            ..unknown
        };
        for (rest, from_client, from_server, knowledge, expected) in [
            (600, 1, 1, unknown, Reuse::Shown),
            (600, 3, 5, unknown, Reuse::Shown),
            (1_200, 9, 1, unknown, Reuse::Shown),
            (300, 9, 1, unknown, Reuse::NotShown),
            (300, 9, 1, known, Reuse::Shown),
            (2, 9, 9, unknown, Reuse::Shown),
            (2, 1, 1, unknown, Reuse::Continues),
            (2, 1, 5, unknown, Reuse::NotShown),
            (2, 2, 1, unknown, Reuse::Continues),
        ] {
            let before = Before { rest: Duration::from_millis(rest), from_client, from_server };
            assert_eq!(reuse(before, knowledge), expected, "{before:?}");
        }
    }
}
