//! The configuration, the rules, the alerts and every query of the dashboard, against the lab's packets.

use std::process;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use aya::sys::{Stats, enable_stats};
use tracer_lab::testbed::daemon::DaemonUnderTest;
use tracer_lab::testbed::permit::may_run;
use tracer_lab::testbed::scrape::Scrape;
use tracer_lab::testbed::wait::let_pass;
use tracer_lab::traffic::upstream::{Tally, Upstream};

use crate::coverage;
use crate::dashboard::Dashboard;
use crate::expected::{Expected, RATE_INTERVAL, Scene};
use crate::expression::fill;
use crate::server::{Prometheus, Rule, target};

/// The rules are evaluated every 15 s, and the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

#[test]
fn every_query_answers_what_the_wire_showed() -> Result<()> {
    if !may_run("prometheus")? {
        return Ok(());
    }
    // A port of its own: the tracer's metrics know servers, not namespaces.
    let port = 15_000 + u16::try_from(process::id() % 5000)?;
    let upstream = Upstream::build(port)?;
    // While this is open the kernel measures probes.
    let _measured = enable_stats(Stats::RunTime)?;
    let port = port.to_string();
    let flags = ["--race-window", "100ms", "--requests", "--request-lines", "--server-port", &port];
    let tracer = DaemonUnderTest::start_with(&flags)?;
    let prometheus = Prometheus::start(tracer.port)?;
    let server = upstream.endpoint().to_string();
    // rate() and increase() know nothing of what began a series: it begins with the first, and the others follow.
    let mut scene = Scene { server, tracer: tracer.port, wire: upstream.closes_idle_connections(1)? };
    becomes(&prometheus, "tracer_idle_close_seconds_count", &Expected::Each(1.0..=1.0))?;
    scene.wire.add(upstream.closes_idle_connections(16)?);

    let rules = prometheus.rules()?;
    let mismatch = scene.mismatch();
    becomes(&prometheus, &alert(&rules, "TracerKeepaliveMismatch")?.expression, &mismatch)
        .context("the mismatch is not reported before the first reset")?;

    scene.wire.add(upstream.loses_requests(2)?);
    becomes(&prometheus, "tracer_request_to_reset_seconds_count", &Expected::Each(2.0..=2.0))?;
    scene.wire.add(upstream.loses_requests(3)?);
    scene.wire.add(upstream.is_left_by_clients(3)?);
    scene.wire.add(upstream.refuses(2)?);
    let Tally { races, refused, closed_by_server, closed_by_client, .. } = &scene.wire;
    // The server closed first in two of the races as well.
    let run = [races.len(), *refused, closed_by_server.len(), closed_by_client.len()];
    assert_eq!(run, [5, 2, 1 + 16 + 2, 3], "{:?}", scene.wire);

    let dashboard = Dashboard::read()?;
    let questions = questions(&dashboard, &rules, &scene)?;
    for question in &questions {
        becomes(&prometheus, &question.expression, &question.expected)
            .with_context(|| question.place.clone())?;
    }
    // And it stays so when the rules are evaluated again: nothing is counted twice.
    let evaluations = "count_over_time(instance:tracer_start_time_seconds:known[1h])";
    let done = prometheus.query(evaluations)?.values().sum::<f64>();
    becomes(&prometheus, evaluations, &Expected::Each(done + 1.0..=f64::MAX))?;
    for question in &questions {
        question
            .expected
            .check(&prometheus.query(&question.expression)?)
            .with_context(|| format!("later, {}", question.place))?;
    }
    coverage::check(&dashboard, &rules, &Scrape::take(tracer.port)?)?;

    tracer.stop()?;
    let down = Expected::Samples(vec![(format!("{} tracer", target(scene.tracer)), 0.0..=0.0)]);
    becomes(&prometheus, &alert(&rules, "TracerDown")?.expression, &down)
        .context("the tracer's end is not reported")
}

/// What is asked, and what must be answered.
struct Question {
    place: String,
    expression: String,
    expected: Expected,
}

/// Every query of the dashboard, with its variables filled in, and every alert.
fn questions(dashboard: &Dashboard, rules: &[Rule], scene: &Scene) -> Result<Vec<Question>> {
    let (instance, rate_interval) = (target(scene.tracer), format!("{RATE_INTERVAL}s"));
    let variables = [
        ("__rate_interval", rate_interval.as_str()),
        ("__interval", "5m"),
        ("__range", "1h"),
        ("job", "tracer"),
        ("instance", &instance),
        ("server", ".+"),
    ];
    let queries = dashboard.queries().into_iter().map(|query| {
        let expected = scene.answer(&query.place);
        (query.place, fill(&query.expression, &variables), expected)
    });
    let alerts = rules.iter().filter(|rule| rule.is_alert);
    let alerts = alerts.map(|rule| (rule.name.clone(), rule.expression.clone(), scene.alert(&rule.name)));
    let question = |(place, expression, expected): (String, String, Option<Expected>)| {
        let expected = expected.with_context(|| format!("nobody says what {place} must answer"))?;
        Ok(Question { place, expression, expected })
    };
    queries.chain(alerts).map(question).collect()
}

fn alert<'a>(rules: &'a [Rule], name: &str) -> Result<&'a Rule> {
    rules.iter().find(|rule| rule.name == name).with_context(|| format!("there is no alert {name}"))
}

/// Waits until the expression answers that.
fn becomes(prometheus: &Prometheus, expression: &str, expected: &Expected) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match expected.check(&prometheus.query(expression)?) {
            Err(_) if Instant::now() < deadline => let_pass(LOOK_AGAIN),
            checked => return checked.with_context(|| expression.to_owned()),
        }
    }
}
