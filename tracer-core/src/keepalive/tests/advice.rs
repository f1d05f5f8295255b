//! What advice follows, and when it comes, changes and goes.

use serde_json::json;

use super::*;

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
        "10.0.0.5:8080 closes connections that were idle for 6 s (142 closes seen) while this host's clients still \
         keep them; 37 requests met such a close and were reset. Let the client close first: let it keep idle connections \
         for 5 s at most, or let the server wait 65 s. nginx as client: `keepalive_timeout 5s;  # in the upstream \
         block`. Node.js as server: `server.keepAliveTimeout = 65000`."
    );
    let shown = serde_json::to_value(advice).unwrap();
    assert_eq!(
        shown["evidence"],
        json!({
            "server_timeout_seconds": 6.003, "server_timeout_upper_seconds": 6.003, "server_timeout_samples": 142, "client_timeout_seconds": null,
            "client_timeout_samples": 0, "idle_closes_by_server": 142, "idle_closes_by_client": 0, "races": 37,
            "requests_per_connection": null, "path_bound_seconds": null, "reuses": null, "late_reuses": null,
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
fn the_server_says_the_same_of_itself() {
    let mut history = History::new();
    history.role = Role::Server;
    (history.flow.local, history.flow.remote) = (history.flow.remote, history.flow.local);
    history = history.closes(Side::Local, 12, |_| 75.0).pause(0.1);
    let advice = &history.advice()[0];
    assert_eq!((advice.role, advice.server.as_str()), ("server", "10.0.0.5:8080"));
    assert!(advice.text.contains("while its clients still keep them"), "{}", advice.text);
    assert!(advice.text.contains("Browsers retry such requests"), "{}", advice.text);
    // What browsers talk to must not keep their connections for longer.
    assert_eq!(advice.suggested.server_timeout_seconds, None);
    assert!(advice.suggested.settings.iter().all(|setting| setting.side == "client"));
    let advice = &history.race(75.0, 2).pause(61.0).advice()[0];
    assert_eq!(advice.severity, "warning");
}
