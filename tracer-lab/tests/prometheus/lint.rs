//! What Grafana's users expect of a dashboard before they import it.

use std::collections::HashSet;

use anyhow::Result;

use crate::dashboard::{Dashboard, DataSource, GridPos};
use crate::expression::{ranges, selectors};

const COLUMNS: u32 = 24;
/// Grafana 10.2 and later; newer ones migrate it.
const SCHEMA: u32 = 39;

#[test]
fn it_has_a_name_and_a_version_that_grafana_knows() -> Result<()> {
    let dashboard = Dashboard::read()?;
    assert_eq!((&*dashboard.title, &*dashboard.uid), ("Keep-alive resets", "tracer-keepalive-resets"));
    assert!(dashboard.tags.contains(&"tracer".to_owned()));
    assert_eq!(dashboard.schema_version, SCHEMA);
    // What is changed in Grafana would be gone with the next version of the file.
    assert!(!dashboard.editable);
    Ok(())
}

#[test]
fn every_panel_has_a_title_a_description_and_a_unit() -> Result<()> {
    for panel in Dashboard::read()?.shown() {
        assert!(!panel.title.is_empty() && panel.description.ends_with('.'), "{}", panel.title);
        let unit = panel.field_config["defaults"]["unit"].as_str();
        assert!(unit.is_some_and(|unit| !unit.is_empty()), "{} has no unit", panel.title);
        assert!(!panel.targets.is_empty(), "{} asks for nothing", panel.title);
    }
    Ok(())
}

#[test]
fn everything_comes_from_the_one_data_source_that_the_user_chose() -> Result<()> {
    let dashboard = Dashboard::read()?;
    let chosen = DataSource { kind: "prometheus".into(), uid: "$datasource".into() };
    for panel in dashboard.shown() {
        assert_eq!(panel.datasource.as_ref(), Some(&chosen), "{}", panel.title);
        assert!(panel.targets.iter().all(|target| target.datasource == chosen), "{}", panel.title);
    }
    assert!(dashboard.annotations.list.iter().all(|annotation| annotation.datasource == chosen));
    let sources: Vec<_> =
        dashboard.templating.list.iter().map(|variable| variable.datasource.as_ref()).collect();
    assert_eq!(sources, [None, Some(&chosen), Some(&chosen), Some(&chosen)]);
    Ok(())
}

#[test]
fn variables_choose_the_data_source_and_any_number_of_jobs_instances_and_servers() -> Result<()> {
    let expected = [
        ("datasource", "Data source", "datasource", false, ""),
        ("job", "Job", "query", true, ".+"),
        ("instance", "Instance", "query", true, ".+"),
        ("server", "Server", "query", true, ".+"),
    ];
    let dashboard = Dashboard::read()?;
    let variables: Vec<_> = dashboard
        .templating
        .list
        .iter()
        .map(|found| (&*found.name, &*found.label, &*found.kind, found.multi, &*found.all_value))
        .collect();
    assert_eq!(variables, expected);
    Ok(())
}

#[test]
fn every_metric_is_asked_for_by_job_and_instance() -> Result<()> {
    for query in Dashboard::read()?.queries().iter().filter(|query| !query.place.starts_with("variable ")) {
        let selectors = selectors(&query.expression);
        assert!(!selectors.is_empty(), "{}: {}", query.place, query.expression);
        for selector in selectors {
            for matcher in [r#"job=~"$job""#, r#"instance=~"$instance""#] {
                assert!(selector.matchers.contains(matcher), "{}: {}", query.place, query.expression);
            }
        }
    }
    Ok(())
}

#[test]
fn rates_are_over_the_interval_that_grafana_finds_right() -> Result<()> {
    let mut rates = 0;
    for query in Dashboard::read()?.queries() {
        for function in ["rate", "increase"] {
            let ranges = ranges(&query.expression, function);
            rates += ranges.len();
            assert!(ranges.iter().all(|range| *range == "$__rate_interval"), "{}", query.expression);
        }
        for range in ranges(&query.expression, "sum_over_time") {
            assert!(["$__interval", "$__range"].contains(&range), "{}", query.expression);
        }
    }
    assert!(rates > 0);
    Ok(())
}

#[test]
fn counts_for_each_step_are_not_over_less_than_the_rules_record() -> Result<()> {
    for panel in Dashboard::read()?.shown() {
        if panel.targets.iter().any(|target| target.expr.contains("[$__interval]")) {
            assert_eq!(panel.interval.as_deref(), Some("1m"), "{}", panel.title);
        }
    }
    Ok(())
}

#[test]
fn panels_are_numbered_once_and_do_not_overlap() -> Result<()> {
    let panels = Dashboard::read()?.panels;
    let numbers: HashSet<_> = panels.iter().map(|panel| panel.id).collect();
    assert_eq!(numbers.len(), panels.len());
    for (index, panel) in panels.iter().enumerate() {
        let GridPos { x, w, h, .. } = panel.grid_pos;
        assert!(w > 0 && h > 0 && x + w <= COLUMNS, "{}", panel.title);
        let over = panels[..index].iter().find(|other| overlap(panel.grid_pos, other.grid_pos));
        assert!(over.is_none(), "{} lies over {}", panel.title, over.map_or("", |other| &other.title));
    }
    Ok(())
}

fn overlap(one: GridPos, other: GridPos) -> bool {
    let apart = one.x + one.w <= other.x
        || other.x + other.w <= one.x
        || one.y + one.h <= other.y
        || other.y + other.h <= one.y;
    !apart
}
