//! What the running kernel shows of resets, which decides what the tracer must say.

use crate::scenarios::scenario::Line;

/// The first kernel whose `tcp_send_reset` gives a reason.
const REASONS_SINCE: (u32, u32) = (6, 10);

/// Ways of sending a RST that not every kernel shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    time_wait: bool,
    no_socket: bool,
    reasons: bool,
    /// Whether request lines were asked for, and whether all that is sent is seen then.
    request_lines: Option<bool>,
}

impl Sight {
    /// Nothing is hidden.
    pub(crate) const WHOLE: Self =
        Self { time_wait: true, no_socket: true, reasons: true, request_lines: None };

    /// Takes the tracer at its word on what it can see, but for reasons.
    pub(crate) fn read(metrics: &str, release: &str) -> Self {
        let says = |sample: String| metrics.lines().any(|line| line == sample);
        let covers = |path: &str| says(format!("tracer_coverage{{path=\"{path}\"}} 1"));
        let attached =
            |value: u8| says(format!("tracer_probe_attached{{probe=\"tcp_sendmsg_locked\"}} {value}"));
        let mut numbers =
            release.split(|letter: char| !letter.is_ascii_digit()).map_while(|number| number.parse().ok());
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        Self {
            time_wait: covers("time_wait"),
            no_socket: covers("no_socket"),
            reasons: version >= REASONS_SINCE,
            request_lines: [0, 1].into_iter().find(|&value| attached(value)).map(|value| value == 1),
        }
    }

    /// What the tracer must say where it would say `line` if it could see everything.
    pub(crate) fn of(self, line: &Line) -> Option<Line> {
        let seen = match line.mechanism {
            Some("time_wait") => self.time_wait,
            Some("no_socket") => self.no_socket,
            _ => true,
        };
        let cause = line.cause_without_reason.filter(|_| !self.reasons).unwrap_or(line.cause);
        seen.then_some(Line { cause, ..*line })
    }

    /// The tracer can say all of `line`.
    pub(crate) fn shows(self, line: &Line) -> bool {
        self.of(line).is_some_and(|seen| seen.cause == line.cause)
    }

    /// Nothing may be said of requests.
    pub(crate) fn hides_request_lines(self) -> bool {
        self.request_lines.is_none()
    }

    /// The tracer must know the last request of the connection that `line` is about.
    pub(crate) fn shows_request_line(self, line: &Line, acknowledged: bool) -> bool {
        match (line.direction, line.role, line.mechanism) {
            _ if self.request_lines.is_none() => false,
            // Its socket is gone.
            (_, "client", Some("time_wait" | "no_socket" | "listener")) => false,
            // What a client's application handed over, or what its kernel may have to send again.
            (_, "client", _) => self.request_lines == Some(true) || !acknowledged,
            // What the RST answers begins with the request.
            ("sent", "server", Some("orphan_data" | "time_wait" | "no_socket")) => {
                line.cause == "keepalive_race"
            }
            _ => false,
        }
    }

    /// No RST segment is hidden.
    pub(crate) fn counts_all(self) -> bool {
        self.time_wait && self.no_socket
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenarios::scenario::SENT;

    #[track_caller]
    fn check(sight: Sight, mechanism: &'static str, cause: Option<&str>) {
        let line = Line {
            cause: "backlog_overflow",
            cause_without_reason: Some("unknown"),
            mechanism: Some(mechanism),
            ..SENT
        };
        assert_eq!(sight.of(&line).map(|line| line.cause), cause);
    }

    #[test]
    fn a_kernel_hides_what_it_does_not_trace() {
        let metrics = "tracer_coverage{path=\"time_wait\"} 0\ntracer_coverage{path=\"no_socket\"} 1\n";
        let old = Sight::read(metrics, "5.10.0-32-cloud-amd64");
        assert_eq!(old, Sight { time_wait: false, no_socket: true, reasons: false, request_lines: None });
        check(old, "time_wait", None);
        check(old, "no_socket", Some("unknown"));
        let new = Sight::read(metrics, "6.12.107+deb13-cloud-amd64");
        check(new, "listener", Some("backlog_overflow"));
        check(Sight::WHOLE, "time_wait", Some("backlog_overflow"));
    }
}
