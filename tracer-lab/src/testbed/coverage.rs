//! What a daemon can see under the running kernel.

/// The first kernel whose `tcp_send_reset` gives a reason.
const REASONS_SINCE: (u32, u32) = (6, 10);

/// What a daemon can see under the running kernel: ways of sending a RST that not every kernel shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Coverage {
    pub(crate) time_wait: bool,
    pub(crate) no_socket: bool,
    pub(crate) reasons: bool,
    /// Whether request lines were asked for, and whether all that is sent is seen then.
    pub(crate) request_lines: Option<bool>,
}

impl Coverage {
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
}
