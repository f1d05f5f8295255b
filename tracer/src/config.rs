//! The command line and its environment variables, and what they come to.

mod address;
mod options;

use std::{env, path::PathBuf, time::Duration};

use clap::{
    CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use log::LevelFilter;

pub use address::ListenAddress;
pub use options::{DaemonOptions, SinkOptions, WebOptions};

/// What `--log-level` can be.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Variables that were renamed: the flag's field, the name now, the name before. The flags' former names are aliases.
const FORMER_VARIABLES: [(&str, &str, &str); 2] = [
    ("max_closed_connections", "TRACER_MAX_CLOSED_CONNECTIONS", "TRACER_MAX_CONNECTIONS"),
    ("request_lines", "TRACER_REQUEST_LINES", "TRACER_HTTP"),
];

/// Finds and explains lost requests and TCP resets on this host.
#[derive(Clone, Debug, Parser)]
#[command(version = env!("TRACER_VERSION"), about, max_term_width = 80, args_conflicts_with_subcommands = true)]
pub struct Config {
    /// Instead of tracing this host
    #[command(subcommand)]
    pub command: Option<Command>,

    /// HTTP port
    #[arg(long, env = "TRACER_PORT", default_value_t = 8000, value_name = "PORT")]
    pub port: u16,

    /// Address to listen on; 0.0.0.0 or :: to be scraped from elsewhere
    #[arg(long, env = "TRACER_LISTEN_ADDRESS", default_value = "127.0.0.1", value_name = "ADDRESS")]
    pub listen_address: ListenAddress,

    /// TLS, client certificates and passwords, in the format of Prometheus' exporter-toolkit
    #[arg(long, env = "TRACER_WEB_CONFIG", value_name = "FILE")]
    pub web_config: Option<PathBuf>,

    /// A name under which / and /api answer, beside addresses and localhost; repeat for more
    #[arg(long = "web-host", env = "TRACER_WEB_HOST", value_delimiter = ',', value_parser = host_name,
          value_name = "NAME")]
    pub web_hosts: Vec<String>,

    /// How to print each incident on stdout
    #[arg(long, env = "TRACER_EVENTS", default_value = "text", value_name = "FORMAT")]
    pub events: EventFormat,

    /// Only connections with this server port; repeat for more (default: all)
    #[arg(long = "server-port", env = "TRACER_SERVER_PORT", value_delimiter = ',', value_name = "PORT")]
    pub server_ports: Vec<u16>,

    /// How long a request may lie unread when its server closes and still have raced, such as 20ms
    /// (default: 50ms)
    #[arg(long, env = "TRACER_RACE_WINDOW", value_parser = duration, value_name = "DURATION")]
    pub race_window: Option<Duration>,

    /// Pairs of role and server with a label of their own at one time; others are server="other"
    #[arg(long, env = "TRACER_MAX_SERIES", default_value_t = 500, value_name = "N",
          value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub max_series: u32,

    /// Incidents kept for /api/v1/incidents and /api/v1/resets
    #[arg(long, env = "TRACER_RECENT", default_value_t = 1000, value_name = "N",
          value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub recent: u32,

    /// Closed connections remembered to explain later resets
    #[arg(long, alias = "max-connections", env = "TRACER_MAX_CLOSED_CONNECTIONS", default_value_t = 65_536,
          value_name = "N", value_parser = clap::value_parser!(u32).range(16..=16_777_216))]
    pub max_closed_connections: u32,

    /// Bytes of the buffer between kernel and tracer: a power of two, at least a page
    #[arg(long, env = "TRACER_EVENT_BUFFER", default_value_t = 1 << 20, value_name = "BYTES",
          value_parser = buffer_size)]
    pub event_buffer: u32,

    /// Also count requests: one more probe, where applications read payload
    #[arg(long, env = "TRACER_REQUESTS")]
    pub requests: bool,

    /// Also show method and path of the last request, where it is plaintext HTTP/1.x: reads payload
    #[arg(long, alias = "http", env = "TRACER_REQUEST_LINES")]
    pub request_lines: bool,

    /// Also write what the kernel side reports to this file, for `tracer replay`
    #[arg(long, env = "TRACER_RECORD", value_name = "FILE")]
    pub record: Option<PathBuf>,

    /// Bytes after which the recording ends
    #[arg(long, env = "TRACER_RECORD_LIMIT", default_value_t = 1 << 30, value_name = "BYTES")]
    pub record_limit: u64,

    /// User to become once the probes are attached, by name or number, where started as root
    #[arg(long, env = "TRACER_USER", default_value = "nobody", value_name = "USER")]
    pub user: String,

    /// Go on, with a warning, where a privilege cannot be given up
    #[arg(long, env = "TRACER_KEEP_PRIVILEGES")]
    pub keep_privileges: bool,

    /// Diagnostics on stderr
    #[arg(long, env = "TRACER_LOG_LEVEL", default_value = "info", value_name = "LEVEL", ignore_case = true,
          value_parser = PossibleValuesParser::new(LEVELS).try_map(|level| level.parse::<LevelFilter>()))]
    pub log_level: LevelFilter,
}

impl Config {
    /// Parses the command line and the environment; exits with what there is to say if that is not possible.
    #[must_use]
    pub fn from_environment() -> Self {
        let is_set = |name| env::var_os(name).is_some();
        let mut command = Self::command();
        for (flag, now, before) in FORMER_VARIABLES {
            if is_set(before) && !is_set(now) {
                command = command.mut_arg(flag, |argument| argument.env(before));
            }
        }
        Self::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
    }
}

/// What the program can do besides tracing.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Explain the incidents of a recording made with --record; needs no privileges
    Replay(Replay),
}

/// How to replay a recording.
#[derive(Clone, Debug, clap::Args)]
pub struct Replay {
    /// The recording
    pub file: PathBuf,

    /// How to print each incident on stdout
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    pub events: EventFormat,

    /// How long a request may lie unread when its server closes and still have raced, such as 20ms
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub race_window: Option<Duration>,

    /// Also print the metrics at the end, in Prometheus' text format
    #[arg(long)]
    pub metrics: bool,
}

/// How incidents are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EventFormat {
    /// One line for people
    Text,
    /// One JSON object a line
    Json,
    /// Nothing
    Off,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration =
        text.parse().map_err(|_| String::from("expected a duration such as 20ms or 1s"))?;
    Duration::try_from(parsed).map_err(|_| String::from("a duration cannot be negative"))
}

/// As a browser sends it, but for the port.
fn host_name(text: &str) -> Result<String, String> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let can_be = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if name.is_empty() || !name.bytes().all(can_be) {
        return Err(String::from(
            "expected a host's name such as tracer.example.com, without scheme and port",
        ));
    }
    Ok(name.to_owned())
}

fn buffer_size(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(bytes) if bytes.is_power_of_two() && (4096..=1 << 28).contains(&bytes) => Ok(bytes),
        _ => Err(String::from("expected a power of two from 4096 to 268435456")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Config, clap::Error> {
        Config::try_parse_from(["tracer"].iter().chain(arguments))
    }

    #[test]
    fn durations_are_read_with_their_unit() {
        let config = parse(&["--race-window", "20ms"]).unwrap();
        assert_eq!(config.race_window, Some(Duration::from_millis(20)));
    }

    #[test]
    fn a_host_has_a_name_and_nothing_around_it() {
        let config =
            parse(&["--web-host", "tracer.example.com.,TRACER", "--web-host", "xn--bcher-kva.example"]);
        let names = ["tracer.example.com", "TRACER", "xn--bcher-kva.example"];
        assert_eq!(config.unwrap().web_hosts, names);
        for wrong in ["", ".", "a,,b", "https://a", "a:8000", "a/", "*", "b\u{fc}cher.example", "a b"] {
            let refused = parse(&["--web-host", wrong]).unwrap_err().to_string();
            assert!(refused.contains("--web-host"), "{wrong}: {refused}");
        }
    }

    #[test]
    fn every_log_level_that_help_lists_is_one() {
        for (name, level) in LEVELS.into_iter().zip(LevelFilter::iter()) {
            assert_eq!(parse(&["--log-level", name]).unwrap().log_level, level);
        }
        assert_eq!(LEVELS.len(), LevelFilter::iter().count());
        let refused = parse(&["--log-level", "loud"]).unwrap_err().to_string();
        assert!(refused.contains(&LEVELS.join(", ")), "{refused}");
        assert_eq!(parse(&["--log-level", "DEBUG"]).unwrap().log_level, LevelFilter::Debug);
    }

    #[test]
    fn bad_values_are_refused_with_exit_code_2() {
        for arguments in [
            ["--port", "70000"],
            ["--events", "xml"],
            ["--race-window", "soon"],
            ["--race-window", "-5ms"],
            ["--event-buffer", "5000"],
            ["--event-buffer", "2048"],
            ["--max-closed-connections", "0"],
            ["--log-level", "loud"],
        ] {
            assert_eq!(parse(&arguments).unwrap_err().exit_code(), 2, "{arguments:?}");
        }
    }

    #[test]
    fn flags_keep_the_names_they_had() {
        assert_eq!(parse(&["--max-connections", "100"]).unwrap().max_closed_connections, 100);
        assert!(parse(&["--http"]).unwrap().request_lines);
    }

    #[test]
    fn server_ports_can_be_repeated_or_listed() {
        assert_eq!(parse(&["--server-port", "80", "--server-port", "443"]).unwrap().server_ports, [80, 443]);
        assert_eq!(parse(&["--server-port", "80,443"]).unwrap().server_ports, [80, 443]);
    }
}
