//! Reading the page on a phone, in the dark, with a keyboard only, with much to tell and with nothing.

use anyhow::Result;
use serde_json::Value;
use thirtyfour::Key;
use tracer_lab::privilege::require_root;

use crate::browser::Browser;
use crate::recorded::{PATHS, told_again};
use crate::stand_in::StandIn;

/// What a user can act on, as far as it is in sight.
const CONTROLS: &str =
    "const controls = [...document.querySelectorAll('a, button, select, input, summary, [tabindex]')]
    .filter((control) => control.checkVisibility());";

fn busy(times: usize, change: fn(&str) -> String) -> Result<Browser> {
    let stand_in = told_again(times, change)?;
    let browser = Browser::start()?;
    browser.prefer("light")?;
    browser.open(stand_in.port)?;
    browser
        .until("document.querySelector('#advice article') && document.querySelector('#incidents tbody')")?;
    // From here on nothing changes.
    browser.run("document.getElementById('pause').click()")?;
    Ok(browser)
}

#[test]
fn every_text_is_readable_by_day_and_by_night() -> Result<()> {
    if !require_root("page") {
        return Ok(());
    }
    let browser = busy(1, str::to_owned)?;
    browser.run("document.querySelectorAll('details').forEach((details) => { details.open = true; })")?;
    browser.run("document.querySelector('#incidents tbody button').click()")?;
    let ground = "return getComputedStyle(document.body).backgroundColor";
    let mut grounds = Vec::new();
    for scheme in ["light", "dark"] {
        browser.prefer(scheme)?;
        grounds.push(browser.run(ground)?);
        assert_eq!(browser.run(include_str!("contrast.js"))?, Value::Array(Vec::new()), "{scheme}");
    }
    assert_ne!(grounds[0], grounds[1]);
    Ok(())
}

#[test]
fn nothing_is_wider_than_a_phone() -> Result<()> {
    if !require_root("page") {
        return Ok(());
    }
    // Long words, where a line has no place to break.
    for change in [str::to_owned, |text: &str| format!("{text}{}", "x".repeat(200))] {
        let browser = busy(1, change)?;
        browser.resize(360)?;
        let wide = "return [...document.querySelectorAll('body *')]
            .filter((node) => node.checkVisibility() && !node.closest('.unseen, thead'))
            .filter((node) => node.getBoundingClientRect().right > 360)
            .map((node) => node.outerHTML.slice(0, 80))";
        let page = "return document.documentElement.scrollWidth";
        browser.run("document.querySelectorAll('details').forEach((details) => { details.open = true; })")?;
        browser.run(
            "document.querySelectorAll('#incidents tbody button').forEach((button) => button.click())",
        )?;
        assert_eq!(browser.run(wide)?, Value::Array(Vec::new()));
        assert_eq!(browser.run(page)?, 360);
    }
    Ok(())
}

#[test]
fn the_tab_key_reaches_every_control_in_order() -> Result<()> {
    if !require_root("page") {
        return Ok(());
    }
    let browser = busy(1, str::to_owned)?;
    browser.run("document.activeElement.blur()")?;
    let count = browser.run(&format!("{CONTROLS} return controls.length"))?.as_u64().unwrap_or_default();
    assert!(count > 12, "only {count} controls");
    let focused = format!("{CONTROLS} return controls.indexOf(document.activeElement)");
    for number in 0..count {
        browser.press(Key::Tab)?;
        assert_eq!(browser.run(&focused)?, number);
        let ring = browser.run("return getComputedStyle(document.activeElement).outlineStyle")?;
        assert_ne!(ring, "none", "the focus cannot be seen on control {number}");
    }
    Ok(())
}

#[test]
fn a_long_list_is_shown_in_part_until_all_is_asked_for() -> Result<()> {
    if !require_root("page") {
        return Ok(());
    }
    let browser = busy(40, str::to_owned)?;
    for (list, items, part, button) in [
        ("#advice article", 40, 5, "advice-more"),
        ("#servers article", 80, 8, "servers-more"),
        ("#incidents tbody", 80, 50, "incidents-more"),
    ] {
        let shown = format!("return document.querySelectorAll('{list}').length");
        assert_eq!(browser.run(&shown)?, part, "{list}");
        let ask = format!(
            "const button = document.getElementById('{button}'); button.click(); return button.innerText"
        );
        assert_eq!(browser.run(&ask)?, format!("Show the first {part}"));
        assert_eq!(browser.run(&shown)?, items, "{list}");
        assert_eq!(browser.run(&ask)?, format!("Show all {items}"));
        assert_eq!(browser.run(&shown)?, part, "{list}");
    }
    Ok(())
}

#[test]
fn probes_that_are_missing_are_named() -> Result<()> {
    if !require_root("page") {
        return Ok(());
    }
    let missing = "probe one is not attached: no BTF\nprobe two is not attached: no right to\n";
    let stand_in = StandIn::serve(PATHS.map(|path| (path, "[]".to_owned())), (503, missing))?;
    let browser = Browser::start()?;
    browser.open(stand_in.port)?;
    browser.until("document.getElementById('health').innerText === '2 probes missing'")?;
    let named = browser.run("return document.getElementById('missing').innerText")?;
    assert_eq!(named, missing.trim());
    Ok(())
}
