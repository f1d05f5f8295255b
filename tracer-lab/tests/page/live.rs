//! The page in front of a daemon: empty at first, then with a mismatch and its races, at last alone.

use std::collections::BTreeSet;

use anyhow::Result;
use nix::sys::signal::Signal;
use serde_json::Value;
use thirtyfour::Key;
use tracer_lab::privilege::require_root;
use tracer_lab::testbed::http::ask;

use crate::browser::Browser;
use crate::network::Network;
use crate::traffic::{SHOWN, Traffic};
use crate::{api, daemon, has_advice};

/// Words that only an empty page shows, one sentence for each section.
const EMPTY: [&str; 3] = [
    "None so far",
    "No idle connection was closed yet",
    "No request was lost and no connection was reset yet",
];

#[test]
fn the_page_shows_a_mismatch_and_its_races_as_they_happen() -> Result<()> {
    if !require_root("page") {
        return Ok(());
    }
    let network = Network::new()?;
    let daemon = daemon(&network)?;
    let browser = Browser::start()?;
    browser.open(daemon.port)?;
    browser.until("document.getElementById('health').textContent === 'ready'")?;
    let text = browser.text()?;
    for sentence in EMPTY {
        assert!(text.contains(sentence), "no {sentence:?} in: {text}");
    }

    let traffic = Traffic::on(&network)?;
    traffic.closes_until(|| has_advice(&daemon))?;
    browser.until("document.querySelector('#advice [data-severity=notice]')")?;
    browser.until("document.querySelectorAll('#servers .mark.server:not([hidden])').length === 2")?;
    // Timers are late, not early, and the later the busier the machine; the kernel's clock ticks in steps of up to 10
    // ms.
    browser.until(
        "/^server closes after (39|4\\d)\\d ms$/.test(document.querySelector('.mark.server').innerText)",
    )?;
    let server = traffic.server()?;
    assert!(browser.text()?.contains(&server), "no {server} in: {}", browser.text()?);

    // A row that is unfolded and has the focus is the same row when others come.
    traffic.race()?;
    browser.until("document.querySelectorAll('#incidents tbody').length === 2")?;
    let text = browser.text()?;
    assert!(text.contains(SHOWN) && !text.contains("secret"), "not {SHOWN}, or more of it, in: {text}");
    browser.run("document.querySelector('#incidents tbody button').focus()")?;
    browser.press(Key::Enter)?;
    unfolded_shows_all(&browser, &api(&daemon, "/api/v1/incidents")?)?;
    traffic.race()?;
    browser.until("document.querySelectorAll('#incidents tbody').length === 4")?;
    let kept = "document.activeElement === document.querySelectorAll('#incidents tbody button')[2]
        && document.activeElement.getAttribute('aria-expanded') === 'true'";
    browser.until(kept)?;
    browser.until("document.querySelector('#advice [data-severity=warning]')")?;
    browser.until("document.querySelector('#servers .races').innerText === '2 keep-alive races'")?;

    browser.run("document.getElementById('pause').click()")?;
    browser.until("document.getElementById('updated').innerText.startsWith('paused')")?;
    browser.run("document.getElementById('pause').click()")?;
    browser.until("document.getElementById('updated').innerText.startsWith('updated')")?;
    browser.run(
        "const text = document.getElementById('filter-text');
        text.value = 'no such thing';
        text.dispatchEvent(new Event('input', { bubbles: true }))",
    )?;
    browser.until("document.getElementById('filter-count').innerText === '0 of 4 incidents'")?;
    assert_eq!(browser.complaints()?, [""; 0]);
    let foreign = "return performance.getEntriesByType('resource')
        .map((entry) => entry.name).filter((name) => !name.startsWith(location.origin))";
    assert_eq!(browser.run(foreign)?, Value::Array(Vec::new()), "not all comes from the daemon");

    daemon.end(Signal::SIGTERM)?;
    browser.until("document.getElementById('lost').innerText.includes('cannot be reached')")?;
    browser.until("document.querySelectorAll('#advice article').length > 0")
}

/// The row that has the focus shows the explanation of the newest incident, and every other field under its name.
fn unfolded_shows_all(browser: &Browser, incidents: &Value) -> Result<()> {
    let shown = browser.run(
        "const details = document.activeElement.closest('tbody').querySelector('.unfolded');
        return details.checkVisibility() && [...details.querySelectorAll('dt')].map((name) => name.innerText)",
    )?;
    let shown: BTreeSet<_> = shown.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let fields = incidents[0].as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    let fields: BTreeSet<_> = fields.filter(|name| *name != "explanation").collect();
    assert_eq!(shown, fields);
    let explanation = browser
        .run("return document.activeElement.closest('tbody').querySelector('.unfolded p').innerText")?;
    assert_eq!(explanation, incidents[0]["explanation"]);
    Ok(())
}

#[test]
fn every_file_of_the_page_comes_with_a_policy() -> Result<()> {
    if !require_root("page") {
        return Ok(());
    }
    let network = Network::new()?;
    let daemon = daemon(&network)?;
    for (path, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/page.css", "text/css; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
        ("/incidents.js", "text/javascript; charset=utf-8"),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = ask(daemon.port, &format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))?;
            assert_eq!(answer.status, 200, "{method} {path}");
            assert_eq!(answer.body.is_empty(), method == "HEAD", "{method} {path}");
            assert_eq!(answer.header("content-type"), Some(content_type), "{method} {path}");
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{method} {path}");
            let policy = answer.header("content-security-policy").unwrap_or_default();
            for rule in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"] {
                assert!(policy.contains(rule), "{method} {path}: no {rule} in {policy:?}");
            }
            assert!(!policy.contains("unsafe"), "{method} {path}: {policy:?}");
        }
    }
    Ok(())
}
