//! Servers that look for idle connections once in a while, and closes that only look as if they did.

use std::time::Duration;

use super::*;
use crate::keepalive::{Knowledge, Timeout};

impl History {
    /// A server that looks each `sweep` seconds closes `count` connections that were idle for `timeout` or longer; as
    /// many connections become idle each second.
    fn sweeper(mut self, timeout: f64, sweep: f64, count: u32, each_second: f64) -> Self {
        let began = self.now.since(KernelNs(0)).as_secs_f64();
        let mut closes: Vec<(f64, f64)> = (0..count)
            .map(|_| {
                let idle_since = self.random.f64() * f64::from(count) / each_second;
                let close = ((idle_since + timeout) / sweep).ceil() * sweep;
                (close, close - idle_since)
            })
            .collect();
        closes.sort_by(|one, other| one.0.total_cmp(&other.0));
        for (index, (close, age)) in (0_u32..).zip(closes) {
            self.now =
                KernelNs::default().plus(Duration::from_secs_f64(began + close + f64::from(index) * 1e-5));
            self = self.close(Side::Remote, age, true);
        }
        self
    }

    /// Closes one after the other, each of another age.
    fn ages(self, count: u32, mut age: impl FnMut(&mut fastrand::Rng) -> f64) -> Self {
        let mut random = self.random.clone();
        let mut history = self.closes(Side::Remote, count, |_| age(&mut random));
        history.random = random;
        history
    }

    fn knowledge(&mut self) -> Knowledge {
        self.review();
        self.profiles.knowledge(self.role, &self.flow)
    }

    fn bounds(&mut self) -> Option<(f64, f64)> {
        let Timeout { lower, upper, .. } = self.knowledge().timeout?;
        Some((lower.as_secs_f64(), upper.as_secs_f64()))
    }
}

/// The software, its timeout, the least and the greatest age seen of it.
const SWEEPERS: [(&str, f64, f64); 12] = [
    ("lighttpd, 5 s", 4.99, 6.05),
    ("uWSGI, 2 s", 1.1, 2.7),
    ("Tomcat, 2 s", 2.0, 3.8),
    ("Tomcat, 20 s", 20.0, 21.0),
    ("Java's HttpServer, 2 s", 2.0, 12.0),
    ("Java's HttpServer, 30 s", 30.0, 40.0),
    ("gunicorn's threads, 2 s", 2.0, 3.0),
    ("cheroot, 10 s", 10.0, 10.5),
    ("waitress, 120 s", 120.0, 150.0),
    ("Squid, 60 s", 60.0, 66.0),
    ("Redis, 10 s", 10.0, 11.0),
    ("memcached, 5 s", 5.0, 7.0),
];

fn check(software: &str, (from, to): (f64, f64), found: Option<(f64, f64)>) {
    let (lower, upper) = found.unwrap_or_else(|| panic!("{software}: no timeout"));
    let sweep = to - from;
    assert!((from - 1e-4..=from + sweep / 4.0).contains(&lower), "{software}: {lower} s is no lower bound");
    assert!((to - sweep / 4.0..=to + 1e-4).contains(&upper), "{software}: {upper} s is no upper bound");
}

#[test]
fn a_sweep_is_told_by_its_bounds_whether_connections_expire_alone_or_together() {
    for (software, from, to) in SWEEPERS {
        for seed in 0..10 {
            let alone = || History { random: fastrand::Rng::with_seed(seed), ..History::new() };
            let mut one_by_one = alone().ages(64, |random| from + random.f64() * (to - from));
            check(software, (from, to), one_by_one.bounds());
            let each_second = 10.0 / (to - from);
            let mut together = alone().sweeper(from, to - from, 600, each_second);
            check(software, (from, to), together.bounds());
        }
    }
}

#[test]
fn a_sweep_is_told_by_the_closes_that_clients_leave_to_it() {
    // Clients reuse a connection at any age between these parts of the sweep.
    let reuses = [(-0.1, 1.1), (0.0, 1.0), (-1.0, 1.0), (-0.5, 1.5), (0.0, 2.0), (0.2, 0.8), (-0.3, 0.6)];
    for (software, from, to) in SWEEPERS {
        for (earliest, latest) in reuses {
            for seed in 0..10 {
                let sweep = to - from;
                let left = |random: &mut fastrand::Rng| {
                    loop {
                        let age = random.f64();
                        if age < earliest + random.f64() * (latest - earliest) {
                            return from + age * sweep;
                        }
                    }
                };
                let mut history = History { random: fastrand::Rng::with_seed(seed), ..History::new() };
                history = history.ages(64, left);
                let what = format!("{software}, {earliest} to {latest}, seed {seed}");
                let (lower, upper) = history.bounds().unwrap_or_else(|| panic!("{what}: no timeout"));
                let slack = (sweep / 4.0).max(from * 0.02);
                assert!((from - 1e-4..=from + slack).contains(&lower), "{what}: {lower} s is no lower bound");
                assert!((lower..=to + 1e-4).contains(&upper), "{what}: {upper} s is no upper bound");
            }
        }
    }
}

#[test]
fn a_dozen_looks_that_close_several_connections_each_show_a_sweep() {
    for seed in 0..40 {
        let history = History { random: fastrand::Rng::with_seed(seed), ..History::new() };
        check("lighttpd, 12 looks", (5.0, 6.0), history.sweeper(5.0, 1.0, 88, 8.0).bounds());
    }
}

#[test]
fn a_sweep_stays_known_and_is_announced_once() {
    let mut history = History::new();
    for round in 0..60 {
        history = history.ages(20, |random| 5.0 + random.f64()).ages(1, |random| 0.06 + random.f64() * 3.0);
        if round > 2 {
            assert_eq!(history.kinds(), [("server_closes_first", "notice")]);
        }
    }
    assert!(history.announced.len() <= 2, "{:#?}", history.announced);
    let advice = &history.advice()[0];
    assert!(advice.text.contains("were idle for 5 s to 6 s ("), "{}", advice.text);
    assert_eq!(advice.suggested.client_timeout_seconds, Some(4.0), "it follows from the lower bound");
    let view = &history.profiles.servers(1)[0];
    assert!(view.keepalive_timeout_seconds < view.keepalive_timeout_upper_seconds, "{view:?}");
}

#[test]
fn a_sweep_that_is_changed_is_followed() {
    for (after, late) in [(60.0, 1.0), (2.0, 1.0), (75.0, 0.0), (2.0, 0.0)] {
        let mut history = History::new().ages(200, |random| 10.0 + random.f64());
        history = history.ages(40, |random| after + random.f64() * late);
        let (lower, upper) = history.bounds().expect("a timeout");
        assert!(lower >= after && upper <= after + late + 1e-6, "{after} s: {lower} to {upper}");
    }
    // From a timer for each connection to a sweep.
    let mut history = History::new().server(200, 75.0, 0.0).ages(40, |random| 10.0 + random.f64());
    check("then a sweep", (10.0, 11.0), history.bounds());
}

#[test]
fn what_looks_like_a_sweep_and_is_none() {
    type Age = fn(&mut fastrand::Rng) -> f64;
    let nothing: [(&str, Age); 12] = [
        ("closes at any moment", |random| 0.05 - 2.0 * (1.0 - random.f64()).ln()),
        ("closes at any moment, seldom", |random| 0.05 - 40.0 * (1.0 - random.f64()).ln()),
        ("any age up to 30 s", |random| 0.05 + random.f64() * 30.0),
        ("any age from 5 s to 30 s", |random| 5.0 + random.f64() * 25.0),
        ("two timers", |random| if random.bool() { 5.0 } else { 6.0 }),
        ("two sweepers behind one address", |random| random.f64() + if random.bool() { 5.0 } else { 20.0 }),
        ("a timer for some, and any age for others", |random| {
            if random.f64() < 0.4 { 5.0 } else { 0.1 + random.f64() * 9.0 }
        }),
        ("four timers", |random| f64::from(random.u8(1..5)) * 5.0),
        ("closes at any moment, of connections reused by 20 s", |random| {
            (0.05 - 10.0 * (1.0 - random.f64()).ln()).min(random.f64() * 20.0)
        }),
        ("a timer for most", |random| if random.f64() < 0.8 { 5.0 } else { 6.0 }),
        ("a timer and a later sweep", |random| if random.bool() { 5.0 } else { 8.0 + random.f64() }),
        ("two sweepers that clients leave little to", |random| {
            random.f64().min(random.f64()) + if random.bool() { 5.0 } else { 9.0 }
        }),
    ];
    for (what, age) in nothing {
        for seed in 0..40 {
            let mut history = History { random: fastrand::Rng::with_seed(seed), ..History::new() };
            for _ in 0..12 {
                history = history.ages(8, age);
                let found = history.bounds();
                assert_eq!(found.filter(|(lower, upper)| lower < upper), None, "{what}, seed {seed}");
            }
        }
    }
    let mut reloads =
        (0..40).fold(History::new(), |history, _| history.at_once(50, |i| 0.1 + f64::from(i) / 5.0));
    assert_eq!(reloads.bounds(), None, "reloads");
    for seed in 0..10 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut restarts = (0..40).fold(History::new(), |history, _| {
            history.at_once(6, |_| 0.05 - 3.0 * (1.0 - random.f64()).ln())
        });
        assert_eq!(restarts.bounds(), None, "restarts, seed {seed}");
    }
    let mut random = fastrand::Rng::with_seed(5);
    let mut drained = History::new();
    for _ in 0..200 {
        drained = drained.pause(0.12).close(Side::Remote, 0.05 + random.f64() * 60.0, true);
    }
    assert_eq!(drained.bounds(), None, "a slow drain");
    let mut clients = History::new().closes(Side::Local, 100, |_| 5.0 + random.f64());
    clients.review();
    assert_eq!(
        clients.profiles.servers(1)[0].client_timeout_seconds,
        None,
        "clients that come to ask no more"
    );
}

proptest! {
    #[test]
    fn bounds_lie_among_the_ages_and_every_age_agrees(
        timeout in 0.5_f64..100.0, sweep in 0.3_f64..10.0, seed in any::<u64>(),
    ) {
        prop_assume!(sweep < timeout * 4.0 && sweep > timeout / 20.0);
        let mut history = History { random: fastrand::Rng::with_seed(seed), ..History::new() };
        history = history.ages(60, |random| timeout + random.f64() * sweep);
        let knowledge = history.knowledge();
        if let Some(Timeout { lower, upper, .. }) = knowledge.timeout {
            let within = Duration::from_secs_f64(timeout)..=Duration::from_secs_f64(timeout + sweep);
            prop_assert!(within.contains(&lower) && within.contains(&upper) && lower <= upper);
            prop_assert!(knowledge.agrees(lower) && knowledge.agrees(upper));
            prop_assert!(!knowledge.agrees(lower / 2) && !knowledge.agrees(upper * 2));
        }
    }
}
