//! Servers that come and go.

use super::*;

/// Both ends of a metrics sink, at a moment.
struct Counting {
    metrics: Metrics,
    exposition: Exposition,
    now: KernelNs,
}

impl Counting {
    fn with_places(places: usize) -> Self {
        let (metrics, exposition) = Metrics::new(places);
        Self { metrics, exposition, now: NOW }
    }

    fn pass(&mut self, seconds: f64) {
        self.now = self.now.plus(Duration::from_secs_f64(seconds));
    }

    /// So many connections of a server are closed after five idle seconds.
    fn idle_closes(&mut self, server: Endpoint, closes: u32) -> Server {
        let label = self.metrics.counted_label(server, self.now);
        for _ in 0..closes {
            self.metrics.count(Some(server.0), label, |series| {
                series.count_idle_close(Some(server.0), label, "server", Duration::from_secs(5));
            });
        }
        label
    }

    fn incident(&mut self, incident: &ExplainedIncident) {
        self.metrics.observe_incident(incident);
    }

    fn scrape(&mut self) -> String {
        self.metrics.publish();
        self.exposition.render([]).unwrap()
    }

    fn sum(&mut self, family: &str) -> u64 {
        sum(&self.scrape(), family, "")
    }
}

/// The sum over the series of a family with this in their labels.
fn sum(text: &str, family: &str, label: &str) -> u64 {
    let prefix = format!("tracer_{family}{{");
    let series = text.lines().filter(|line| line.starts_with(&prefix) && line.contains(label));
    series.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
}

fn server(role: Role, number: u16) -> Endpoint {
    let [high, low] = number.to_be_bytes();
    (role, SocketAddr::from(([127, 3, high, low], 8080)))
}

fn own(server: Endpoint) -> Server {
    Server::Known(server.1)
}

#[test]
fn a_refusal_gives_no_label_to_a_port_that_was_never_seen_to_be_a_servers() {
    let race = recorded_race();
    let server = race.server().unwrap();
    for (cause, server_known, raced_before, label) in [
        (Cause::Refused, false, false, "other"),
        (Cause::Refused, true, false, "own"),
        (Cause::Refused, false, true, "own"),
        (race.verdict.cause, false, false, "own"),
    ] {
        let mut counting = Counting::with_places(1);
        if raced_before {
            counting.incident(&race);
        }
        let mut incident = race.clone();
        (incident.server_known, incident.verdict.cause) = (server_known, cause);
        counting.incident(&incident);
        let text = counting.scrape();
        let name = if label == "own" { server.to_string() } else { label.to_owned() };
        let counted =
            format!("cause=\"{}\",ended_by=\"rst\",role=\"server\",server=\"{name}\"", cause.name());
        assert!(sum(&text, "failures_total", &counted) >= 1, "{cause:?}, {server_known}: {text}");
        assert_eq!(text.contains(&server.to_string()), label == "own", "{text}");
        // Nobody has to raise a limit for those.
        assert!(text.contains("tracer_label_overflow_total{label=\"server\"} 0\n"), "{text}");
    }
}

#[test]
fn behind_a_crowd_of_servers_a_new_one_has_all_its_series_in_the_next_scrape() {
    let race = recorded_race();
    let mut counting = Counting::with_places(DEFAULT_PLACES);
    for number in 0..5000 {
        for role in [Role::Server, Role::Client] {
            assert_eq!(counting.idle_closes(server(role, number), 1), own(server(role, number)));
        }
        counting.pass(0.01);
    }
    counting.incident(&race);
    let text = counting.scrape();
    let name = format!("server=\"{}\"", race.server().unwrap());
    for family in ["failures_total", "request_read_total", "resets_sent_total", "reset_idle_seconds_count"] {
        assert_eq!(sum(&text, family, &name), 1, "{family}: {text}");
    }
    println!("a scrape of {} bytes", text.len());
    assert!(text.len() < 1_000_000, "a scrape of {} bytes", text.len());
    // The latest ones are there: a third, and those that were just heard of.
    let left = 2 * 5000 + 1 - sum(&text, "label_evictions_total", "");
    assert!((166..=168).contains(&left), "{left} labels");
    assert_eq!(sum(&text, "label_overflow_total", ""), 0);
}

#[test]
fn servers_that_stay_keep_their_labels_and_newcomers_are_counted_together() {
    let mut counting = Counting::with_places(2);
    let [old, young, newcomer] = [1, 2, 3].map(|number| server(Role::Client, number));
    counting.idle_closes(old, 1);
    counting.pass(600.0);
    counting.idle_closes(old, 1);
    counting.idle_closes(young, 1);
    counting.pass(5.0);
    counting.idle_closes(young, 1);
    // What comes, seconds later; and what it is counted under.
    for (seconds, server, label) in [
        (4.0, newcomer, Server::Other),
        (4.0, newcomer, own(newcomer)),
        (1.0, young, own(young)),
        // The other one is no newcomer any more: it was heard of for 14 s.
        (0.0, newcomer, Server::Other),
        (500.0, old, own(old)),
        (3598.0, newcomer, own(newcomer)),
        (1.0, young, own(young)),
    ] {
        counting.pass(seconds);
        assert_eq!(counting.idle_closes(server, 1), label, "{server:?} after {seconds} s");
    }
    assert_eq!(counting.sum("label_overflow_total"), 2);
}

#[test]
fn what_was_counted_of_a_server_that_had_to_go_is_in_one_scrape_or_another() {
    let race = recorded_race();
    let raced = (Role::Server, race.server().unwrap());
    for (scraped_before, scraped_under_its_name) in [(0_u32, 0), (1, 1), (3, 3)] {
        let mut counting = Counting { now: race.at(), ..Counting::with_places(1) };
        for count in 0..4 {
            if scraped_before > 0 && count == scraped_before {
                let text = counting.scrape();
                assert_eq!(sum(&text, "failures_total", &raced.1.to_string()), scraped_under_its_name);
            }
            counting.incident(&race);
        }
        counting.pass(1.0);
        assert_eq!(counting.idle_closes(server(Role::Server, 1), 1), own(server(Role::Server, 1)));
        let text = counting.scrape();
        assert!(!text.contains(&raced.1.to_string()), "{text}");
        for family in ["failures_total", "request_read_total", "resets_sent_total"] {
            let left = sum(&text, family, "server=\"other\"");
            assert_eq!(left, 4 - scraped_under_its_name, "{family} after {scraped_before}: {text}");
        }
    }
}

#[test]
fn a_server_that_comes_back_begins_anew_once_a_scrape_was_without_it() {
    let (first, second) = (server(Role::Server, 1), server(Role::Server, 2));
    let name = |server: Endpoint| server.1.to_string();
    for was_scraped in [false, true] {
        let mut counting = Counting::with_places(1);
        counting.idle_closes(first, 7);
        if was_scraped {
            assert_eq!(sum(&counting.scrape(), "idle_close_seconds_count", &name(first)), 7);
        }
        counting.pass(1.0);
        assert_eq!(counting.idle_closes(second, 1), own(second));
        counting.pass(1.0);
        // Nobody has seen its series go, unless nobody had seen them before.
        let back = if was_scraped { Server::Other } else { own(first) };
        assert_eq!(counting.idle_closes(first, 1), back, "scraped: {was_scraped}");
        if was_scraped {
            assert!(!counting.scrape().contains(&name(first)));
            assert_eq!(counting.idle_closes(first, 1), own(first));
        }
        assert_eq!(sum(&counting.scrape(), "idle_close_seconds_count", &name(first)), 1);
    }
}

#[test]
fn of_servers_that_are_heard_of_at_once_none_takes_the_label_of_another() {
    let [first, second, third] = [1, 2, 3].map(|number| server(Role::Server, number));
    let mut counting = Counting::with_places(1);
    for (seconds, heard, labels) in [
        (0.0, [Heard::Now, Heard::Now, Heard::Before], [own(first), Server::Other, Server::Other]),
        (1.0, [Heard::Before, Heard::Before, Heard::Before], [own(first), Server::Other, Server::Other]),
        (1.0, [Heard::Now, Heard::Now, Heard::Before], [own(first), Server::Other, Server::Other]),
        // Quiet for long enough; and the answer is of one moment.
        (9.0, [Heard::Before, Heard::Now, Heard::Now], [Server::Other, own(second), Server::Other]),
    ] {
        counting.pass(seconds);
        let servers: Vec<_> = [first, second, third].into_iter().zip(heard).collect();
        assert_eq!(counting.metrics.labels(&servers, counting.now), labels, "{heard:?}");
    }
}

#[test]
fn without_a_single_place_all_servers_share_a_label() {
    let mut counting = Counting::with_places(0);
    assert_eq!(counting.idle_closes(server(Role::Server, 1), 1), Server::Other);
    assert_eq!(sum(&counting.scrape(), "idle_close_seconds_count", "other"), 1);
}
