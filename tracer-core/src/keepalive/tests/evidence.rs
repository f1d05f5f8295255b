//! What counts as evidence, whose it must be, and what is said of it.

use super::*;
use crate::keepalive::ForgottenReuse;

impl History {
    /// A host with the server, seen by clients at these addresses in turn.
    fn at_server() -> Self {
        let mut history = Self::new();
        history.role = Role::Server;
        (history.flow.local, history.flow.remote) = (history.flow.remote, history.flow.local);
        history
    }

    fn from(mut self, client: u8) -> Self {
        let port = self.flow.client(self.role).port();
        let client = ([10, 0, 1, client], port).into();
        match self.role {
            Role::Server => self.flow.remote = client,
            Role::Client => self.flow.local = client,
        }
        self
    }

    /// The server's side of the flow.
    fn server_side(&self) -> Side {
        if self.role == Role::Server { Side::Local } else { Side::Remote }
    }

    /// The server closes `count` connections; `change` says in what these closes differ from others.
    fn odd_closes(mut self, count: u32, change: impl Fn(Close) -> Close) -> Self {
        for _ in 0..count {
            self = self.pause(0.15);
            let close = change(self.a_close(self.server_side()));
            self.closed(&close);
        }
        self
    }

    fn behind_response(self, count: u32, exchanges: Option<u32>) -> Self {
        self.odd_closes(count, |close| Close { rest: Rest::BehindResponse, exchanges, ..close })
    }

    fn forgotten(mut self, rest: f64) -> Self {
        self = self.pause(0.2);
        let rest = Duration::from_secs_f64(rest);
        let reuse = ForgottenReuse { at: self.now, rest, exchanges: Some(1) };
        self.profiles.forgotten_reuse(Some(self.role), &self.flow, reuse);
        self.next_connection();
        self
    }

    fn idle(age: f64) -> Rest {
        Rest::Idle(Duration::from_secs_f64(age))
    }

    fn perhaps(age: f64) -> Rest {
        Rest::Perhaps(Duration::from_secs_f64(age))
    }
}

#[test]
fn closes_show_a_timeout_only_where_the_connection_was_kept_for_the_next_request() {
    type Change = fn(Close) -> Close;
    let table: [(&str, Change, Option<f64>); 7] = [
        ("by FIN", |close| Close { rest: History::idle(5.0), ..close }, Some(5.0)),
        ("by RST", |close| Close { rest: History::idle(5.0), ended: EndedBy::Reset, ..close }, Some(5.0)),
        ("of a stream", |close| Close { rest: History::idle(5.0), streamed: true, ..close }, None),
        ("never asked", |close| Close { rest: History::idle(5.0), asked: false, ..close }, None),
        ("never answered", |close| Close { rest: History::idle(5.0), answered: false, ..close }, None),
        ("of an open request", |close| Close { rest: Rest::None, ..close }, None),
        ("perhaps of an open request", |close| Close { rest: History::perhaps(5.0), ..close }, None),
    ];
    for (what, change, timeout) in table {
        let mut history = History::new().odd_closes(20, change);
        assert_eq!(history.timeout().map(|(timeout, _)| timeout), timeout, "{what}");
    }
}

#[test]
fn a_possible_last_word_counts_when_a_request_met_it_or_the_other_end_shows_the_same() {
    let known = || {
        History::at_server().odd_closes(12, |close| Close { rest: History::perhaps(2.0), ..close }).pause(0.1)
    };
    assert_eq!(known().kinds(), []);
    let mut raced = known();
    let lost = LostRequest { maybe_last_word: true, ..raced.a_lost_request() };
    raced.lost(&lost);
    raced = raced.odd_closes(1, |close| Close { rest: History::perhaps(2.0), ..close });
    assert_eq!((raced.timeout(), raced.kinds()), (Some((2.0, 13)), vec![("server_closes_first", "notice")]));

    let mut both = known();
    both.role = Role::Client;
    (both.flow.local, both.flow.remote) = (both.flow.remote, both.flow.local);
    both = both.server(12, 2.0, 0.0).pause(0.1);
    both.role = Role::Server;
    (both.flow.local, both.flow.remote) = (both.flow.remote, both.flow.local);
    assert_eq!(both.timeout(), Some((2.0, 12)));
}

#[test]
fn a_limit_needs_closes_behind_responses_at_one_proven_number_and_lost_requests() {
    let lost = |history: History, times, exchanges| {
        (0..times).fold(history, |history, _| history.pause(0.2).race(0.001, exchanges))
    };
    let limit = || History::new().behind_response(8, Some(20));
    let table: [(&str, History, Option<u32>, bool); 8] = [
        ("announced: nobody loses a request", limit(), Some(20), false),
        ("one request lost, perhaps by chance", lost(limit(), 1, 20), Some(20), false),
        ("PHP-FPM", lost(limit(), 2, 20), Some(20), true),
        ("the lost ones had carried another number", lost(limit(), 2, 7), Some(20), false),
        ("the number is not certain", lost(History::new().behind_response(8, None), 4, 20), None, false),
        ("a handshake and a refusal", lost(History::new().behind_response(8, Some(2)), 9, 2), None, false),
        ("another carried more", lost(limit(), 2, 20).clients(1, 4.0), None, false),
        (
            "one connection, told again and again",
            (0..20).fold(History::new(), |mut history, _| {
                history = history.pause(0.2);
                let lost = LostRequest {
                    rest: Some(Duration::from_millis(1)),
                    exchanges: Some(20),
                    ..history.a_lost_request()
                };
                history.profiles.lost_request(Some(Role::Client), &history.flow, &lost);
                history
            }),
            None,
            false,
        ),
    ];
    for (what, mut history, known, advised) in table {
        let advice = history.advice();
        let found = advice.iter().find(|advice| advice.kind == "request_limit");
        assert_eq!(found.is_some(), advised, "{what}");
        if let Some(advice) = found {
            assert_eq!(advice.evidence.requests_per_connection, known, "{what}");
            assert!(advice.text.contains("; 2 requests met such a close and were reset."), "{}", advice.text);
        }
        let view = history.profiles.servers(1).into_iter().next();
        assert_eq!(view.and_then(|view| view.requests_per_connection), known, "{what}");
    }
}

#[test]
fn of_several_clients_one_alone_raises_no_warning() {
    // A stranger who lets connections idle and uses them again, ten times.
    let stranger = |history: History| {
        (0..10).fold(history.from(66), |history, _| history.server_idle(1, 60.0).race(60.0, 3))
    };
    let one_of_many = |history: History, count| {
        (0..count).fold(history, |history, client| history.from(client).server_idle(1, 60.0))
    };
    let table: [(&str, History, &str); 4] = [
        ("the only client there is: a proxy", stranger(History::at_server()), "warning"),
        ("a stranger", stranger(one_of_many(History::at_server(), 12)), "notice"),
        (
            "two of them",
            stranger(one_of_many(History::at_server(), 12)).from(67).pause(0.2).race(60.0, 3),
            "warning",
        ),
        (
            "whose closes alone show the timeout",
            stranger(History::at_server().from(1).odd_closes(1, |close| close)).from(2).race(60.0, 3),
            "notice",
        ),
    ];
    for (what, history, severity) in table {
        assert_eq!(history.pause(0.1).kinds(), [("server_closes_first", severity)], "{what}");
    }
}

impl History {
    fn server_idle(self, count: u32, age: f64) -> Self {
        self.odd_closes(count, |close| Close { rest: Self::idle(age), ..close })
    }
}

#[test]
fn where_both_ends_are_in_one_namespace_a_finding_is_told_once() {
    let swap = |mut history: History| {
        history.role = history.role.other();
        (history.flow.local, history.flow.remote) = (history.flow.remote, history.flow.local);
        history
    };
    let mut history = swap(swap(History::new().server(12, 5.0, 0.0)).server_idle(12, 5.0)).pause(0.1);
    let advice = history.advice();
    assert_eq!(advice.iter().map(|advice| advice.role).collect::<Vec<_>>(), ["client"]);
    assert_eq!(history.announced.len(), 1, "{:#?}", history.announced);
    // A race that only the server's end knows.
    history = swap(swap(history).race(5.0, 3)).pause(61.0);
    let advice = history.advice();
    let said: Vec<_> = advice.iter().map(|advice| (advice.role, advice.severity)).collect();
    assert_eq!(said, [("server", "warning")]);
    assert!(history.announced.iter().all(|line| !line.contains("does not show")), "{:#?}", history.announced);
    // In another namespace they may be two hosts.
    history = swap(history);
    history.flow.netns = 2;
    history = history.server_idle(1, 5.0).pause(0.1);
    assert_eq!(history.advice().len(), 2);
}

#[test]
fn timeouts_closer_than_closes_scatter_are_told_before_a_request_is_lost() {
    // Once the server was first; for a while now its clients are.
    let margin = |server: f64, client: f64, scatter: f64| {
        let mut random = fastrand::Rng::with_seed(3);
        History::new()
            .closes(Side::Remote, 12, |_| server + random.f64() * scatter)
            .pause(700.0)
            .closes(Side::Local, 25, |_| client + random.f64() * scatter)
            .pause(0.1)
    };
    let table = [
        ("equal", margin(5.0, 5.0, 0.0), true),
        ("equal and late", margin(5.0, 5.0, 0.08), true),
        ("closer than they scatter", margin(5.0, 4.9, 0.08), true),
        ("further apart than that", margin(5.0, 4.7, 0.08), false),
        ("exact, and a little apart", margin(5.0, 4.9, 0.0), false),
        ("far apart", margin(60.0, 5.0, 0.08), false),
    ];
    for (what, mut history, told) in table {
        let expected: &[_] = if told { &[("thin_margin", "notice")] } else { &[] };
        assert_eq!(history.kinds(), expected, "{what}");
    }
    let text = &margin(5.0, 5.0, 0.0).advice()[0].text;
    assert_eq!(
        text,
        "10.0.0.5:8080 closes connections that were idle for 5 s (12 closes seen), and this host's clients at 5 s (25 \
         closes seen): closes scatter by up to 20 ms, so either side may be first. No request has met such a close \
         yet. Let the client close first: let it keep idle connections for 4 s at most, or let the server wait 6 s. \
         nginx as client: `keepalive_timeout 4s;  # in the upstream block`. Node.js as server: \
         `server.keepAliveTimeout = 6000`. uvicorn as server: `--timeout-keep-alive 6`. Apache as server: \
         `KeepAliveTimeout 6`."
    );
}

#[test]
fn a_path_that_forgets_shows_by_reuses_that_die_above_a_bound_and_live_below() {
    let deaths = |history: History| {
        [350.2, 351.0, 360.0, 420.0, 500.0, 900.0].into_iter().fold(history, History::forgotten)
    };
    let used_again = || History::new().clients(1, 55.0);
    let table: [(&str, History, Option<f64>); 6] = [
        ("others were used again", deaths(used_again()), Some(350.2)),
        ("the server's closes arrive below", deaths(History::new().server(9, 75.0, 0.0)), Some(350.2)),
        ("nothing is known below", deaths(History::new()), None),
        ("the server's closes arrive above", deaths(History::new().server(9, 600.0, 0.0)), None),
        ("too few", used_again().forgotten(350.0).forgotten(350.0), None),
        ("sooner than any path forgets", (0..9).fold(used_again(), |h, _| h.forgotten(0.3)), None),
    ];
    for (what, mut history, bound) in table {
        let advice = history.advice();
        let found = advice.iter().find(|advice| advice.kind == "path_forgets");
        assert_eq!(found.and_then(|advice| advice.evidence.path_bound_seconds), bound, "{what}");
        if let Some(advice) = found {
            assert_eq!((advice.severity, advice.evidence.races), ("warning", 6), "{what}");
            assert_eq!(advice.suggested.client_timeout_seconds, Some(345.0), "{what}");
            assert_eq!(advice.suggested.server_timeout_seconds, None, "{what}");
        }
    }
    let text = &deaths(used_again()).advice()[0].text;
    assert!(
        text.starts_with(
            "Something between this host's clients and 10.0.0.5:8080 forgets connections that are idle for 350.2 s or \
             less: 6 reuses found them reset, and the server never closed one; others that are reused sooner live on."
        ),
        "{text}"
    );
}

#[test]
fn what_was_lost_is_told_as_it_was_and_no_http_is_named_where_there_is_none() {
    let lost = |history: History, ended| {
        let lost = LostRequest { rest: Some(Duration::from_secs(2)), ended, ..history.a_lost_request() };
        let mut history = history.pause(0.2);
        history.lost(&lost);
        history
    };
    let known = || History::new().server(12, 2.0, 0.0);
    let (reset, fin) = (EndedBy::Reset, EndedBy::Fin);
    let table: [(&[EndedBy], &str); 4] = [
        (&[], ". No request has met such a close yet."),
        (&[reset], "; 1 request met such a close and was reset."),
        (&[fin, fin], "; 2 requests met such a close and were closed without an answer."),
        (&[reset, fin], "; 2 requests met such a close and were reset or closed without an answer."),
    ];
    for (ended, said) in table {
        let mut history = ended.iter().fold(known(), |history, &ended| lost(history, ended));
        let text = &history.advice()[0].text;
        assert!(text.contains(said), "{text}");
    }
    for (port, http) in [(8080, true), (5432, false), (6379, false), (11211, false), (3306, false)] {
        let mut history = History::new();
        history.flow.remote.set_port(port);
        let advice = &history.server(12, 5.0, 0.0).pause(0.1).advice()[0];
        assert_eq!(advice.text.contains("keepAliveTimeout"), http, "{port}: {}", advice.text);
        assert_eq!(advice.suggested.settings.is_empty(), !http, "{port}");
    }
    // Nobody's default.
    let advice = &History::new().server(12, 33.0, 0.0).pause(0.1).advice()[0];
    assert!(advice.text.ends_with("or let the server wait 65 s."), "{}", advice.text);
}

#[test]
fn a_server_is_known_to_answer_by_one_answer_and_not_to_by_several_silences() {
    let dropped = |close: Close| Close { answered: false, ..close };
    let silent = |close: Close| Close { by: Side::Local, ..dropped(close) };
    let answers = |history: History| history.profiles.knowledge(history.role, &history.flow).answers;
    assert_eq!(answers(History::new()), None);
    assert_eq!(answers(History::new().odd_closes(2, silent)), None);
    assert_eq!(answers(History::new().odd_closes(3, silent)), Some(false));
    assert_eq!(
        answers(History::new().odd_closes(9, dropped)),
        None,
        "the server ended them: it may have failed"
    );
    assert_eq!(answers(History::new().odd_closes(9, silent).odd_closes(1, |close| close)), Some(true));
    assert_eq!(answers(History::new().odd_closes(9, |close| Close { asked: false, ..silent(close) })), None);
    // Such a server is no news.
    let mut history = History::new().odd_closes(9, silent);
    history.review();
    assert_eq!(history.profiles.servers(10), []);
}
