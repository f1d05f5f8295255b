//! What closes tell of a keep-alive timeout, and what advice follows: each test is a short history of one server.

use std::{net::SocketAddr, time::Duration};

use proptest::prelude::*;
use serde_json::json;

use super::{AdviceView, LostRequest, Review, ServerProfiles};
use crate::{
    matching::IdleClose,
    model::{Flow, KernelNs, Role, Side, WallClock},
};

const SERVER: ([u8; 4], u16) = ([10, 0, 0, 5], 8080);

/// A client host, its server, and what passes between them; time passes with each of it.
struct History {
    profiles: ServerProfiles,
    now: KernelNs,
    flow: Flow,
    role: Role,
    random: fastrand::Rng,
    announced: Vec<String>,
}

impl History {
    fn new() -> Self {
        Self {
            profiles: ServerProfiles::new(500),
            now: KernelNs(1_000_000_000_000),
            flow: Flow { netns: 1, local: ([10, 0, 0, 1], 40_000).into(), remote: SERVER.into() },
            role: Role::Client,
            random: fastrand::Rng::with_seed(7),
            announced: Vec::new(),
        }
    }

    fn closes(mut self, side: Side, count: u32, mut age: impl FnMut(u32) -> f64) -> Self {
        for index in 0..count {
            self = self.pause(0.150).close(side, age(index), true);
        }
        self
    }

    /// As many closes by the server, each late by up to `late` seconds.
    fn server(self, count: u32, age: f64, late: f64) -> Self {
        let mut random = self.random.clone();
        self.closes(Side::Remote, count, |_| age + random.f64() * late)
    }

    fn clients(self, count: u32, age: f64) -> Self {
        self.closes(Side::Local, count, |_| age)
    }

    /// So many connections closed by the server at once.
    fn at_once(mut self, count: u32, mut age: impl FnMut(u32) -> f64) -> Self {
        self = self.pause(0.150);
        for index in 0..count {
            self = self.pause(0.000_05).close(Side::Remote, age(index), true);
        }
        self
    }

    fn close(mut self, by: Side, age: f64, exchanged: bool) -> Self {
        let idle = Duration::from_secs_f64(age);
        let requests = Some(if exchanged { 30 } else { 0 });
        let close = IdleClose { at: self.now, flow: self.flow, role: Some(self.role), by, idle, requests };
        self.profiles.close(&close);
        self
    }

    fn race(self, rest: f64, requests: u32) -> Self {
        self.race_over(rest, requests, 0.0)
    }

    fn race_over(mut self, rest: f64, requests: u32, round_trip: f64) -> Self {
        let [rest, round_trip] = [rest, round_trip].map(|seconds| Some(Duration::from_secs_f64(seconds)));
        let lost = LostRequest { at: self.now, rest, round_trip, requests: Some(requests) };
        self.profiles.lost_request(Some(self.role), &self.flow, &lost);
        self
    }

    fn pause(mut self, seconds: f64) -> Self {
        self.now = self.now.plus(Duration::from_secs_f64(seconds));
        self
    }

    fn review(&mut self) -> Review {
        self.now = self.now.plus(Duration::from_secs(1));
        let review = self.profiles.review(self.now).expect("a second has passed");
        self.announced.extend(review.announced.clone());
        review
    }

    /// The inferred timeout in seconds, and the closes that agree with it.
    fn timeout(&mut self) -> Option<(f64, u64)> {
        let server = match self.role {
            Role::Server => self.flow.local,
            Role::Client => self.flow.remote,
        };
        let review = self.review();
        review
            .timeouts
            .get(&(self.role, server))
            .map(|timeout| (timeout.value.as_secs_f64(), timeout.samples))
    }

    fn advice(&mut self) -> Vec<AdviceView> {
        self.review();
        self.profiles.advice(10, WallClock::new(Duration::from_secs(1_790_000_000)))
    }

    fn kinds(&mut self) -> Vec<(&'static str, &'static str)> {
        self.advice().iter().map(|advice| (advice.kind, advice.severity)).collect()
    }
}

#[test]
fn a_timeout_is_found_within_two_percent_however_late_the_server_looks() {
    for timeout in [0.5, 2.0, 4.0, 5.0, 6.0, 60.0, 75.0] {
        let late = f64::min(0.1, timeout / 25.0);
        for closes in [8, 20, 500] {
            let (found, samples) = History::new().server(closes, timeout, late).timeout().expect("a timeout");
            assert!((found - timeout).abs() <= timeout * 0.02, "{timeout} s was taken for {found} s");
            assert_eq!(samples, u64::from(closes), "{timeout} s");
        }
    }
}

#[test]
fn what_looks_like_a_timeout_and_is_none() {
    let nothing: [(&str, History); 8] = [
        ("seven closes are too few", History::new().server(7, 5.0, 0.0)),
        (
            "ages are spread",
            History::new().closes(Side::Remote, 200, |i| 1.0 + f64::from(i * 37 % 100) / 10.0),
        ),
        (
            "short ages are spread",
            History::new().closes(Side::Remote, 200, |i| 0.05 + f64::from(i * 37 % 100) / 500.0),
        ),
        (
            "a reload closes connections of all ages",
            History::new().at_once(200, |i| 0.1 + f64::from(i) / 10.0),
        ),
        ("a stop closes connections of one age", History::new().at_once(200, |_| 10.0)),
        (
            "two timeouts, half and half",
            History::new().closes(Side::Remote, 200, |i| if i % 2 == 0 { 5.0 } else { 60.0 }),
        ),
        ("clients close", History::new().clients(200, 4.0)),
        (
            "nothing was ever asked for",
            (0..50).fold(History::new(), |history, _| history.pause(0.15).close(Side::Remote, 60.0, false)),
        ),
    ];
    for (what, mut history) in nothing {
        assert_eq!(history.timeout(), None, "{what}");
        assert_eq!(history.kinds(), [], "{what}");
    }
}

#[test]
fn a_timeout_stands_through_what_disturbs_it() {
    let stays: [(&str, History); 4] = [
        (
            "reloads",
            (0..10).fold(History::new(), |h, _| {
                h.server(4, 5.0, 0.05).at_once(200, |i| f64::from(i) / 50.0 + 0.1)
            }),
        ),
        (
            "strays",
            (0..40).fold(History::new(), |h, i| {
                h.server(3, 5.0, 0.05).closes(Side::Remote, 1, |_| 0.06 + f64::from(i) / 9.0)
            }),
        ),
        (
            "request limits",
            (0..40).fold(History::new(), |h, _| h.server(2, 5.0, 0.05).closes(Side::Remote, 1, |_| 0.055)),
        ),
        (
            "closes by clients",
            (0..40).fold(History::new(), |h, i| h.server(1, 5.0, 0.05).clients(9, f64::from(i) / 10.0)),
        ),
    ];
    for (what, mut history) in stays {
        let (found, _) = history.timeout().unwrap_or_else(|| panic!("{what} hide the timeout"));
        assert!((found - 5.0).abs() <= 0.1, "{what}: {found}");
    }
}

#[test]
fn many_connections_that_reach_one_timeout_together_count_once_for_each_time() {
    let mut history = (0..7).fold(History::new(), |history, _| history.at_once(50, |_| 5.0));
    assert_eq!(history.timeout(), None);
    history = history.at_once(50, |_| 5.0);
    assert_eq!(history.timeout(), Some((5.0, 400)));
}

#[test]
fn a_timeout_that_is_changed_is_followed_within_twenty_closes() {
    for (before, after) in [(5.0, 60.0), (60.0, 5.0), (75.0, 65.0), (5.0, 6.0), (0.5, 0.6)] {
        for earlier in [8, 20, 1000] {
            let mut history = History::new().server(earlier, before, 0.0).server(20, after, 0.0);
            let (found, samples) = history.timeout().expect("a timeout");
            assert!((found - after).abs() <= after * 0.02, "{before} → {after}: {found}");
            assert!(samples <= 20, "{before} → {after}: {samples} closes");
        }
    }
}

#[test]
fn advice_comes_with_the_first_evidence_and_goes_with_the_last() {
    let mut history = History::new().server(7, 6.0, 0.0);
    assert_eq!(history.kinds(), []);
    history = history.server(1, 6.0, 0.0).pause(0.1);
    assert_eq!(history.kinds(), [("server_closes_first", "notice")]);
    history = history.race(6.0, 3).pause(61.0);
    assert_eq!(history.kinds(), [("server_closes_first", "warning")]);
    // An hour without a race, while the server still closes.
    history = history.pause(3600.0).server(1, 6.0, 0.0).pause(0.1);
    assert_eq!(history.kinds(), [("server_closes_first", "notice")]);
    history = history.clients(19, 4.0).pause(301.0);
    assert_eq!(history.kinds(), [("server_closes_first", "notice")]);
    history = history.clients(1, 4.0);
    assert_eq!(history.kinds(), []);
    history = history.server(1, 6.0, 0.0).pause(61.0);
    assert_eq!(history.kinds(), [("server_closes_first", "notice")]);
    history = history.pause(86_400.0);
    assert_eq!(history.kinds(), []);
    assert_eq!(history.timeout(), None);

    assert_eq!(history.announced.len(), 6, "{:#?}", history.announced);
}

#[test]
fn advice_stands_while_a_few_of_many_clients_keep_connections_too_long() {
    let mut history = History::new().server(8, 6.0, 0.0);
    for _ in 0..30 {
        history = history.clients(100, 4.0);
        assert_eq!(history.kinds(), [("server_closes_first", "notice")]);
        history = history.server(1, 6.0, 0.0);
    }
    assert_eq!(history.announced.len(), 1, "{:#?}", history.announced);
}

#[test]
fn advice_stands_while_the_server_closes_a_connection_now_and_then() {
    let mut history = History::new().server(8, 60.0, 0.0);
    for _ in 0..20 {
        history = history.pause(4200.0).server(1, 60.0, 0.0);
        assert_eq!(history.kinds(), [("server_closes_first", "notice")]);
    }
    assert_eq!(history.announced.len(), 1, "{:#?}", history.announced);
}

#[test]
fn a_timeout_does_not_come_and_go_with_strays() {
    for share in [0.6, 0.65, 0.8] {
        let mut random = fastrand::Rng::with_seed(11);
        let mut history = History::new().server(8, 5.0, 0.0);
        for _ in 0..2000 {
            let age = if random.f64() < share { 5.0 } else { 0.1 + random.f64() * 30.0 };
            history = history.pause(2.0).close(Side::Remote, age, true);
            history.review();
        }
        assert!(history.announced.len() <= 3, "{share}: {} lines", history.announced.len());
    }
}

#[test]
fn only_races_that_the_timeout_explains_make_it_a_warning() {
    let known = || History::new().server(12, 60.0, 0.0);
    let races: [(&str, History, &str, u64); 6] = [
        ("at the timeout", known().race(59.9, 3), "warning", 1),
        ("unnoticed for long", known().race(300.0, 3), "warning", 1),
        ("before it was known", History::new().race(60.0, 3).server(12, 60.0, 0.0), "warning", 1),
        ("with a restart", known().race(0.06, 3).race(3.7, 3).race(40.0, 3), "notice", 0),
        ("right behind a response", known().race(0.001, 3), "notice", 0),
        ("a round trip behind a response", known().race_over(0.081, 3, 0.080), "notice", 0),
    ];
    for (what, history, severity, count) in races {
        let advice = history.pause(0.1).advice();
        assert_eq!((advice[0].severity, advice[0].evidence.races), (severity, count), "{what}");
    }
}

#[test]
fn what_keeps_changing_is_announced_once_a_minute() {
    let mut history = History::new();
    let began = history.now;
    for round in 0..60 {
        history = history.server(20, if round % 2 == 0 { 6.0 } else { 60.0 }, 0.0);
        history.review();
    }
    let minutes = history.now.since(began).as_secs() / 60;
    let announced = history.announced.len() as u64;
    assert!((2..=minutes + 1).contains(&announced), "{minutes} minutes, {:#?}", history.announced);
}

#[test]
fn nginx_before_node_with_defaults_reads_like_this() {
    let mut history = (0..37).fold(History::new().server(142, 6.003, 0.0), |history, _| history.race(6.0, 4));
    let advice = &history.advice()[0];
    assert_eq!(
        advice.text,
        "10.0.0.5:8080 closes connections that were idle for 6 s (142 closes seen) while this host's clients still keep \
         them; 37 requests met such a close and failed. Let the client close first: let it keep idle connections for 5 s \
         at most, or let the server wait 65 s. nginx as client: `keepalive_timeout 5s;  # in the upstream block`. Node.js \
         as server: `server.keepAliveTimeout = 65000`."
    );
    let shown = serde_json::to_value(advice).unwrap();
    assert_eq!(
        shown["evidence"],
        json!({
            "server_timeout_seconds": 6.003, "server_timeout_samples": 142, "client_timeout_seconds": null,
            "client_timeout_samples": 0, "idle_closes_by_server": 142, "idle_closes_by_client": 0, "races": 37,
            "requests_per_connection": null, "reuses": null, "late_reuses": null,
        })
    );
    assert_eq!(shown["suggested"]["client_timeout_seconds"], 5.0);
    assert_eq!(shown["suggested"]["server_timeout_seconds"], 65.0);
}

#[test]
fn suggestions_leave_a_margin() {
    // Server's timeout, clients' timeout → suggested for the client, for the server.
    let table = [
        (0.08, None, 0.04, Some(65.0)),
        (0.5, None, 0.25, Some(65.0)),
        (2.0, None, 1.0, Some(65.0)),
        (5.0, Some(60.0), 4.0, Some(65.0)),
        (60.0, None, 55.0, Some(65.0)),
        (75.0, None, 70.0, None),
        (75.0, Some(90.0), 70.0, Some(95.0)),
        (3600.0, None, 3595.0, None),
    ];
    for (server, clients, shorter, longer) in table {
        let mut history = History::new();
        if let Some(clients) = clients {
            history = history.clients(12, clients);
        }
        let advice = &history.server(12, server, 0.0).pause(0.1).advice()[0];
        let suggested = &advice.suggested;
        assert_eq!(
            (suggested.client_timeout_seconds, suggested.server_timeout_seconds),
            (Some(shorter), longer),
            "{server} s, {clients:?}"
        );
    }
}

#[test]
fn races_after_the_same_number_of_requests_point_to_a_limit() {
    let limits: [(&[u32], Option<u32>); 5] = [
        (&[100, 100, 100, 100, 100], Some(100)),
        (&[100, 101, 100, 100, 101, 57], Some(100)),
        (&[100, 100, 100, 100], None),
        (&[3, 17, 100, 4, 55, 21, 99], None),
        (&[100, 3, 100, 17, 100, 55, 100, 21, 100, 80], None),
    ];
    for (requests, limit) in limits {
        let mut history = requests
            .iter()
            .fold(History::new(), |history, &requests| history.pause(0.2).race(0.001, requests));
        let advice = history.advice();
        let found = advice.first().map(|advice| (advice.kind, advice.evidence.requests_per_connection));
        assert_eq!(found, limit.map(|limit| ("request_limit", Some(limit))), "{requests:?}");
    }
    // A reloaded proxy ends connections behind a long first response, now and then; others of its connections live on.
    let mut reloads =
        (0..9).fold(History::new(), |history, _| history.pause(300.0).race(0.001, 2).clients(1, 4.0));
    assert_eq!(reloads.kinds(), []);
    // One reload ends many busy connections at once.
    assert_eq!((0..9).fold(History::new(), |history, _| history.race(0.001, 2)).kinds(), []);
    // A race after a rest says nothing of a limit.
    assert_eq!((0..9).fold(History::new(), |history, _| history.race(5.0, 100)).kinds(), []);
}

#[test]
fn loopback_servers_of_two_namespaces_are_two_servers() {
    let mut history = History::new();
    history.flow.local = ([127, 0, 0, 1], 40_000).into();
    history.flow.remote = ([127, 0, 0, 1], 8080).into();
    history = history.server(12, 5.0, 0.0);
    history.flow.netns = 2;
    history = history.server(12, 5.0, 0.0).pause(0.1);
    assert!(history.timeout().is_some());
    history = history.server(20, 60.0, 0.0).pause(0.1);
    assert_eq!(history.timeout(), None, "one label cannot have two values");
    let mut found: Vec<_> = history
        .advice()
        .iter()
        .map(|advice| (advice.netns, advice.evidence.server_timeout_seconds))
        .collect();
    found.sort_by_key(|(netns, _)| *netns);
    assert_eq!(found, [(Some(1), Some(5.0)), (Some(2), Some(60.0))]);
}

#[test]
fn the_table_is_bounded_and_the_quietest_server_makes_room() {
    let mut history = History::new();
    history.profiles = ServerProfiles::new(2);
    for port in [1, 2, 1, 3] {
        history.flow.remote = SocketAddr::from(([10, 0, 0, 5], port));
        history = history.server(12, 5.0, 0.0);
    }
    let mut servers: Vec<_> = history.profiles.servers(10).into_iter().map(|server| server.server).collect();
    servers.sort();
    assert_eq!(servers, ["10.0.0.5:1", "10.0.0.5:3"]);
    assert_eq!(history.profiles.servers(1).len(), 1);
}

#[test]
fn the_server_says_the_same_of_itself() {
    let mut history = History::new();
    history.role = Role::Server;
    (history.flow.local, history.flow.remote) = (history.flow.remote, history.flow.local);
    history = history.closes(Side::Local, 12, |_| 75.0).pause(0.1);
    let advice = &history.advice()[0];
    assert_eq!((advice.role, advice.server.as_str()), ("server", "10.0.0.5:8080"));
    assert!(advice.text.contains("while its clients still keep them"), "{}", advice.text);
    assert!(advice.text.contains("Browsers repeat such requests"), "{}", advice.text);
    // What browsers talk to must not keep their connections for longer.
    assert_eq!(advice.suggested.server_timeout_seconds, None);
    assert!(advice.suggested.settings.iter().all(|setting| setting.side == "client"));
    let advice = &history.race(75.0, 2).pause(61.0).advice()[0];
    assert_eq!(advice.severity, "warning");
}

proptest! {
    #[test]
    fn whatever_happens_a_timeout_lies_among_the_ages(
        closes in prop::collection::vec((0_u32..3, 0.0_f64..0.5, 0.05_f64..100.0, any::<bool>()), 1..300)
    ) {
        let mut history = History::new();
        let mut ages: Vec<f64> = Vec::new();
        for (what, pause, age, exchanged) in closes {
            history = history.pause(pause);
            history = match what {
                0 => history.race(age, 5),
                1 => history.close(Side::Local, age, exchanged),
                _ => {
                    ages.push(age);
                    history.close(Side::Remote, age, exchanged)
                }
            };
        }
        if let Some((timeout, samples)) = history.timeout() {
            prop_assert!(ages.iter().any(|age| (age - timeout).abs() < 1e-6));
            prop_assert!(samples >= 8 && samples <= ages.len() as u64);
        }
        for advice in history.advice() {
            prop_assert!(!advice.text.is_empty());
        }
    }
}
