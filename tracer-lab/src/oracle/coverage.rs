//! What the daemon must say, given what it can see under the running kernel.

use crate::oracle::expectation::Line;
use crate::testbed::coverage::Coverage;

impl Coverage {
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
            // What a client's application handed over; else what its kernel had still to send again when a RST came,
            // of which a request in pieces need not be the first.
            (_, "client", _) if self.request_lines == Some(true) => true,
            (_, "client", _) => !acknowledged && line.ended_by == "rst" && line.cause != "early_close",
            // What the RST answers begins with the request.
            (Some("sent"), "server", Some("orphan_data" | "time_wait" | "no_socket")) => {
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
    use crate::oracle::expectation::SENT;

    #[track_caller]
    fn check(coverage: Coverage, mechanism: &'static str, cause: Option<&str>) {
        let line = Line {
            cause: "backlog_overflow",
            cause_without_reason: Some("unknown"),
            mechanism: Some(mechanism),
            ..SENT
        };
        assert_eq!(coverage.of(&line).map(|line| line.cause), cause);
    }

    #[test]
    fn a_kernel_hides_what_it_does_not_trace() {
        let metrics = "tracer_coverage{path=\"time_wait\"} 0\ntracer_coverage{path=\"no_socket\"} 1\n";
        let old = Coverage::read(metrics, "5.10.0-32-cloud-amd64");
        assert_eq!(old, Coverage { time_wait: false, no_socket: true, reasons: false, request_lines: None });
        check(old, "time_wait", None);
        check(old, "no_socket", Some("unknown"));
        let new = Coverage::read(metrics, "6.12.107+deb13-cloud-amd64");
        check(new, "listener", Some("backlog_overflow"));
        check(Coverage::WHOLE, "time_wait", Some("backlog_overflow"));
    }
}
