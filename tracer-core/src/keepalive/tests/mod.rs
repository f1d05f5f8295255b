//! What closes tell of a keep-alive timeout, and what advice follows: each test is a short history of one server.

mod advice;
mod crowds;
mod evidence;
mod sweeps;

use std::time::Duration;

use proptest::prelude::*;

use super::{AdviceView, LostRequest, Review, ServerProfiles};
use crate::{
    matching::{Close, EndedBy, Rest},
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

    /// The server closes `count` connections at once.
    fn at_once(mut self, count: u32, mut age: impl FnMut(u32) -> f64) -> Self {
        self = self.pause(0.150);
        for index in 0..count {
            self = self.pause(0.000_05).close(Side::Remote, age(index), true);
        }
        self
    }

    fn close(mut self, by: Side, age: f64, exchanged: bool) -> Self {
        let idle = Duration::from_secs_f64(age);
        self.closed(&Close { rest: Rest::Idle(idle), asked: exchanged, ..self.a_close(by) });
        self
    }

    /// The close of a connection that carried 30 exchanges.
    fn a_close(&self, by: Side) -> Close {
        Close {
            at: self.now,
            flow: self.flow,
            role: Some(self.role),
            by,
            ended: EndedBy::Fin,
            rest: Rest::None,
            exchanges: Some(30),
            asked: true,
            answered: true,
            streamed: false,
        }
    }

    /// Takes it, of a connection of its own.
    fn closed(&mut self, close: &Close) {
        self.profiles.close(close);
        self.next_connection();
    }

    fn next_connection(&mut self) {
        let client = match self.role {
            Role::Server => &mut self.flow.remote,
            Role::Client => &mut self.flow.local,
        };
        client.set_port(client.port() % 60_000 + 1);
    }

    fn race(self, rest: f64, requests: u32) -> Self {
        self.race_over(rest, requests, 0.0)
    }

    fn race_over(mut self, rest: f64, requests: u32, round_trip: f64) -> Self {
        let [rest, round_trip] = [rest, round_trip].map(|seconds| Some(Duration::from_secs_f64(seconds)));
        let lost = LostRequest { rest, round_trip, exchanges: Some(requests), ..self.a_lost_request() };
        self.lost(&lost);
        self
    }

    fn a_lost_request(&self) -> LostRequest {
        LostRequest {
            at: self.now,
            rest: None,
            round_trip: None,
            exchanges: None,
            fin_seen: true,
            maybe_last_word: false,
            ended: EndedBy::Reset,
        }
    }

    fn lost(&mut self, lost: &LostRequest) {
        self.profiles.lost_request(Some(self.role), &self.flow, lost);
        self.next_connection();
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
            .map(|timeout| (timeout.lower.as_secs_f64(), timeout.samples))
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
